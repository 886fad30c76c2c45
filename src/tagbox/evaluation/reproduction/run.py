"""Reproduce the paper's tables: run its systems on whatever data and models are at hand.

Every cell of the tables is there; a cell whose system could not be run has the reason. Silence has a row in
every table: it separates nothing, and its improvement in SDR is minus the SDR of the mixture.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tagbox.errors import TagBoxError
from tagbox.evaluation.baselines import find_baseline
from tagbox.evaluation.bootstrap import Interval
from tagbox.evaluation.case import MeasureOptions, Record
from tagbox.evaluation.controls import CONTROLS
from tagbox.evaluation.datasets.registry import find_dataset
from tagbox.evaluation.datasets.track import Dataset
from tagbox.evaluation.reproduction.published_tables import TABLES, PublishedSystem, PublishedTable
from tagbox.evaluation.runner import EvaluationPlan, run_plan
from tagbox.evaluation.summary import ALL_SOURCES, Verdict, summarise
from tagbox.evaluation.systems import System, TagBoxSystem
from tagbox.kernels import devices
from tagbox.models import load_generator, load_tagger
from tagbox.presets import find, override
from tagbox.settings import Settings
from tagbox.taggers.names import TaggerName
from tagbox.weights import catalogue, hub

PRESETS = ("paper", "published-code")
WITHOUT_PRESET = "as it is"
"""The run of a system that has no presets."""
RUNS = (*PRESETS, WITHOUT_PRESET)
SILENCE = PublishedSystem("silence", "baseline", "silence")
TEST_SPLIT = "test"
"""The split that is taken where a data set has it, as is usual for both of them."""
LAYOUTS = {"MUSDB18": "musdb", "Slakh2100": "slakh"}
"""The layout of each of the paper's data sets. The command line's options have the same names."""
MIN_SECONDS, MAX_SECONDS = 1, 3600

OnProgress = Callable[[str, int, int], None]
"""Called after every case with what runs, how many of its cases are done, and how many there are."""


@dataclass(frozen=True)
class ReproductionOptions:
    """What to run, and on which data.

    Attributes:
        folders: of the data sets, by the name that the paper has for them.
        generator: "jukebox", "embedded" or a file.
        steps: of the steering loop; None leaves those of the presets.
        limit: at most so many tracks of each data set.
        seconds: length of each excerpt; None takes whole tracks.
        seed: of everything random.
        device: that presets run on.
        jobs: how many processes run cases.
    """

    folders: dict[str, Path]
    generator: str = "jukebox"
    steps: int | None = None
    limit: int | None = None
    seconds: float | None = 20.0
    seed: int = 0
    device: str = "auto"
    jobs: int = 1


@dataclass(frozen=True)
class CellResult:
    """The result of one run in one cell: mean improvements (dB), or why there are none.

    Attributes:
        sdri: improvement of SDR.
        si_sdri: improvement of SI-SDR.
        missing: how many cases had no estimate; they are in no mean.
        why: the reason why there are no means, or "".
    """

    sdri: Interval | None = None
    si_sdri: Interval | None = None
    missing: int = 0
    why: str = ""


@dataclass(frozen=True)
class Cell:
    """One system on one source of one table.

    Attributes:
        table: its number in the paper.
        dataset: name of the data set.
        source: the query.
        system: as published.
        published: improvement of SDR (dB); None where the paper has none.
        results: by run; empty where the paper has no figure.
    """

    table: int
    dataset: str
    source: str
    system: PublishedSystem
    published: float | None
    results: Mapping[str, CellResult]


@dataclass(frozen=True)
class TableVerdict:
    """A verdict on a run, on one source of a table or on all together that the run has."""

    table: int
    verdict: Verdict

    @property
    def sentence(self) -> str:
        """The verdict as a sentence."""
        return f"Table {self.table}: {self.verdict.words}"


@dataclass(frozen=True)
class Reproduction:
    """The reproduced tables.

    Attributes:
        options: what was run.
        cells: of all tables, in the order of the tables.
        data: for each data set a description, or the reason why there is none.
        verdicts: on all runs.
    """

    options: ReproductionOptions
    cells: tuple[Cell, ...]
    data: Mapping[str, str]
    verdicts: tuple[TableVerdict, ...]


@dataclass(frozen=True)
class _Run:
    """One of the runs of a published system.

    Attributes:
        name: a preset, or `WITHOUT_PRESET`.
        system: what to run; None where there is nothing to run.
        why_not: the reason why it cannot be run, or "".
    """

    name: str
    system: System | None
    why_not: str


def reproduce(options: ReproductionOptions, out: Path, on_progress: OnProgress | None = None) -> Reproduction:
    """Run whatever can be run, each run in a folder of its own below `out` from which it is resumed.

    Raises:
        TagBoxError: a setting or folder cannot be used, or `out` holds runs with other settings.
    """
    _check_options(options)
    datasets = {table.dataset: _find_table_data(table, options) for table in TABLES}
    obstacles = _find_obstacles(options)
    cells: list[Cell] = []
    verdicts: list[TableVerdict] = []
    for table in TABLES:
        dataset = datasets[table.dataset]
        evaluate = partial(_evaluate, dataset=dataset, options=options, out=out, on_progress=on_progress)
        results: dict[tuple[PublishedSystem, str], dict[str, CellResult]] = {}
        controls = evaluate(CONTROLS, "controls", table.sources)
        for source in table.sources:
            result = cell_result(source, "silence", controls, _why_no_data(dataset))
            results.setdefault((SILENCE, source), {})[WITHOUT_PRESET] = result
        for published in table.figures:
            sources = tuple(s for s in table.sources if table.figure(published, s) is not None)
            for run in _runs_of(published, options, obstacles):
                why_not = "; ".join(filter(None, (_why_no_data(dataset), run.why_not)))
                records: list[Record] = []
                if run.system is not None and not why_not:
                    folder = f"{run.name} {published.model}".replace("/", "-").replace(" ", "-")
                    records = evaluate((run.system,), folder, sources)
                    verdicts += _verdicts_on(run.system, table, [*controls, *records])
                name = run.system.name if run.system is not None else ""
                for source in sources:
                    result = cell_result(source, name, records, why_not)
                    results.setdefault((published, source), {})[run.name] = result
        cells += [
            Cell(
                table.number,
                table.dataset,
                source,
                published,
                table.figure(published, source) if published != SILENCE else None,
                results.get((published, source), {}),
            )
            for source in table.sources
            for published in (*table.figures, SILENCE)
        ]
    data = {
        name: dataset if isinstance(dataset, str) else _describe_data(dataset, options)
        for name, dataset in datasets.items()
    }
    return Reproduction(options, tuple(cells), data, tuple(verdicts))


def _check_options(options: ReproductionOptions) -> None:
    for name in options.folders:
        if name not in LAYOUTS:
            raise TagBoxError(f"the paper has no table of {name}")
    if options.limit is not None and options.limit < 1:
        raise TagBoxError(f"{options.limit} tracks are nothing to run; give --limit 1 or more")
    if options.seconds is not None and not MIN_SECONDS <= options.seconds <= MAX_SECONDS:
        raise TagBoxError(
            f"excerpts of {options.seconds:g} s cannot be judged; give {MIN_SECONDS} to {MAX_SECONDS}"
        )
    generators = [model.name for model in catalogue.generators()]
    is_known = options.generator in generators or hub.is_address(options.generator)
    if not is_known and not Path(options.generator).is_file():
        raise TagBoxError(
            f"no generator is called {options.generator!r}; choose one of {', '.join(generators)}, "
            "or give a file"
        )
    for preset in PRESETS:
        _settings(preset, "mtat/fcn", options)


def _settings(preset: str, tagger: str, options: ReproductionOptions) -> Settings:
    return override(
        find(preset).settings,
        taggers=(tagger,),
        generator=options.generator,
        steps=options.steps,
        seed=options.seed,
    )


def _find_table_data(table: PublishedTable, options: ReproductionOptions) -> Dataset | str:
    """Return the data set of a table, or the reason why there is none."""
    folder, layout = options.folders.get(table.dataset), LAYOUTS[table.dataset]
    if folder is None:
        return f"no data given (--{layout} FOLDER)"
    dataset = find_dataset(folder, layout)
    splits = (TEST_SPLIT,) if any(track.split == TEST_SPLIT for track in dataset.tracks) else ()
    return find_dataset(folder, layout, splits, limit=options.limit)


def _why_no_data(dataset: Dataset | str) -> str:
    return dataset if isinstance(dataset, str) else ""


def _describe_data(dataset: Dataset, options: ReproductionOptions) -> str:
    splits = sorted({track.split for track in dataset.tracks if track.split})
    of = f" of its {', '.join(splits)} split" if splits else ""
    length = "whole" if options.seconds is None else f"{options.seconds:g} s of each"
    tracks = f"{len(dataset.tracks)} track{'s' * (len(dataset.tracks) != 1)}"
    return f"{dataset.name}, {tracks}{of}, {length}"


def _find_obstacles(options: ReproductionOptions) -> dict[str, str]:
    """Load the generator and every tagger of the tables once: by name, why it cannot be loaded, or ""."""
    device = devices.select_device(options.device)
    taggers = {system.model for table in TABLES for system in table.figures if system.kind == "tagbox"}
    obstacles = {options.generator: _why_not_loadable(partial(load_generator, options.generator, device))}
    for tagger in sorted(taggers):
        name = TaggerName.parse(tagger)
        obstacles[tagger] = _why_not_loadable(partial(load_tagger, name.architecture, name.data))
    return obstacles


def _why_not_loadable(load: Callable[[], object]) -> str:
    try:
        load()
    except TagBoxError as error:
        return str(error)
    return ""


def _runs_of(
    published: PublishedSystem, options: ReproductionOptions, obstacles: Mapping[str, str]
) -> list[_Run]:
    """Return all runs of a published system."""
    if published.kind == "trained":
        why_not = "not ours to run: judge its stems with tagbox evaluate --estimates NAME=FOLDER"
        return [_Run(WITHOUT_PRESET, None, why_not)]
    if published.kind == "baseline":
        try:
            return [_Run(WITHOUT_PRESET, find_baseline(published.model), "")]
        except TagBoxError as error:
            return [_Run(WITHOUT_PRESET, None, str(error))]
    why_not = "; ".join(filter(None, (obstacles[published.model], obstacles[options.generator])))
    return [
        _Run(
            preset,
            TagBoxSystem(
                f"{preset} {published.model}",
                preset,
                _settings(preset, published.model, options),
                options.device,
            ),
            why_not,
        )
        for preset in PRESETS
    ]


def _evaluate(
    systems: Sequence[System],
    name: str,
    sources: Sequence[str],
    dataset: Dataset | str,
    options: ReproductionOptions,
    out: Path,
    on_progress: OnProgress | None,
) -> list[Record]:
    """Return the records of `systems` on those of `sources` that `dataset` has; none where there are no data.

    Args:
        name: of the folder for the results.
    """
    if isinstance(dataset, str):
        return []
    tracks = (
        replace(track, sources={query: s for query, s in track.sources.items() if query in sources})
        for track in dataset.tracks
    )
    dataset = replace(dataset, tracks=tuple(track for track in tracks if track.sources))
    if not dataset.tracks:
        return []
    plan = EvaluationPlan(
        dataset=dataset,
        systems=tuple(systems),
        options=MeasureOptions(judge="", window_sdr=False, seed=options.seed),
        seconds=options.seconds,
        together=False,
        players=0,
        sources=tuple(sources),
    )
    label = f"{dataset.layout}, {name}"
    on_records = partial(_report_progress, on_progress, label) if on_progress is not None else None
    return run_plan(plan, out / dataset.layout / name, options.jobs, resume=True, on_records=on_records)


def _report_progress(
    on_progress: OnProgress, label: str, done: int, total: int, records: Sequence[Record]
) -> None:
    on_progress(label, done, total)


def _verdicts_on(system: System, table: PublishedTable, records: Sequence[Record]) -> list[TableVerdict]:
    """Return the verdicts on `system`, except on sources that it was not asked for.

    Args:
        records: of the system and of the controls.
    """
    asked = {record["source"] for record in records if record["method"] == system.name}
    return [
        TableVerdict(table.number, verdict)
        for verdict in summarise(records).verdicts
        if verdict.method == system.name
        and (verdict.source in asked or (verdict.source == ALL_SOURCES and len(asked) > 1))
    ]


def cell_result(source: str, system: str, records: Sequence[Record], why_not: str) -> CellResult:
    """Return the result of the system called `system` on `source`.

    Args:
        records: of the run, of any systems and sources.
        why_not: the reason why it was not run, or "".
    """
    if why_not:
        return CellResult(why=why_not)
    own = [record for record in records if record["method"] == system and record["source"] == source]
    if not own:
        return CellResult(why=f"no track of the data has {source}")
    row = summarise(own).row(source, system)
    assert row is not None
    if row.measured == 0:
        reasons = dict.fromkeys(str(record.get("why", record["status"])) for record in own)
        return CellResult(missing=row.missing, why="; ".join(reasons))
    return CellResult(row.sdri, row.si_sdri, row.missing)
