"""The paper's tables again: its figures, and beside them ours on whatever data and models are at hand.

Every cell is there. One that could not be run says why. Silence stands in every table: it needs no
separation, and its improvement in SDR is minus the mixture's SDR.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tagbox import models, presets
from tagbox.errors import TagBoxError
from tagbox.evaluation import baselines, runner
from tagbox.evaluation.bootstrap import Interval
from tagbox.evaluation.case import Measures, Record
from tagbox.evaluation.controls import CONTROLS
from tagbox.evaluation.datasets import registry
from tagbox.evaluation.datasets.registry import Dataset
from tagbox.evaluation.reproduction.published_tables import TABLES, PublishedTable, System
from tagbox.evaluation.summary import ALL, Verdict, summarise
from tagbox.evaluation.systems import Method, Separator
from tagbox.generators import registry as generators
from tagbox.kernels import devices
from tagbox.models import load_tagger

PRESETS = ("paper", "published-code")
AS_IT_IS = "as it is"
"""The run of a system that has no presets."""
RUNS = (*PRESETS, AS_IT_IS)
SILENCE = System("silence", "baseline", "silence")
TEST = "test"
"""The split that is taken where a data set has it, as usual for both of them."""

OnProgress = Callable[[str, int, int], None]
"""Told (what runs, its cases done, its cases in all)."""


@dataclass(frozen=True)
class Request:
    """What to run, on what.

    Attributes:
        folders: by the data set's name in the paper.
        generator: "jukebox", "embedded" or a file.
        steps: of the loop; None leaves the presets' own.
        limit: at most so many tracks of each data set.
        seconds: of each excerpt; None takes whole tracks.
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
class Outcome:
    """What a run gave for one cell: means with their intervals, or why there are none."""

    sdri: Interval | None = None
    si_sdri: Interval | None = None
    missing: int = 0
    why: str = ""


@dataclass(frozen=True)
class Cell:
    """One system on one source of one table. `outcomes` is by run, empty where the paper has no figure."""

    table: int
    dataset: str
    source: str
    system: System
    published: float | None
    outcomes: dict[str, Outcome]


@dataclass(frozen=True)
class TableVerdict:
    """Of a run on one source of a table, or on all that it has together."""

    table: int
    verdict: Verdict

    @property
    def words(self) -> str:
        """The sentence."""
        return f"Table {self.table}: {self.verdict.words}"


@dataclass(frozen=True)
class Reproduction:
    """All cells, what each table's data were, and which runs separate."""

    request: Request
    cells: tuple[Cell, ...]
    data: dict[str, str]
    verdicts: tuple[TableVerdict, ...]


def reproduce(request: Request, out: Path, on_progress: OnProgress | None = None) -> Reproduction:
    """Run what can be run, each run in a folder of its own below `out` from which it can go on.

    Raises:
        TagBoxError: a setting or folder makes no sense, or `out` holds runs with other settings.
    """
    _check(request)
    cells: list[Cell] = []
    verdicts: list[TableVerdict] = []
    data: dict[str, str] = {}
    found = {table.dataset: _data(table, request) for table in TABLES}
    models = _Models(request)
    for table in TABLES:
        dataset = found[table.dataset]
        data[table.dataset] = dataset if isinstance(dataset, str) else _described(dataset, request)
        outcomes: dict[tuple[System, str], dict[str, Outcome]] = {}
        controls: list[Record] = []
        if isinstance(dataset, Dataset):
            controls = _run(CONTROLS, dataset, table.sources, out, "controls", request, on_progress)
        _collect(outcomes, SILENCE, AS_IT_IS, "silence", table, table.sources, dataset, controls)
        for system in table.figures:
            sources = tuple(s for s in table.sources if table.figure(system, s) is not None)
            for run, method, why in models.runs_of(system):
                records: list[Record] = []
                if isinstance(dataset, str):
                    why = f"{dataset}; {why}" if why else dataset
                elif method is not None and not why:
                    folder = f"{run} {system.method}".replace("/", "-").replace(" ", "-")
                    records = _run((method,), dataset, sources, out, folder, request, on_progress)
                    verdicts += _verdicts(table, method, [*controls, *records])
                name = method.name if method is not None else ""
                _collect(outcomes, system, run, name, table, sources, dataset, records, why)
        for source in table.sources:
            for system in (*table.figures, SILENCE):
                published = table.figures[system][table.sources.index(source)] if system != SILENCE else None
                own = outcomes.get((system, source), {})
                cells.append(Cell(table.number, table.dataset, source, system, published, own))
    return Reproduction(request, tuple(cells), data, tuple(verdicts))


def _check(request: Request) -> None:
    for name in request.folders:
        if name not in {table.dataset for table in TABLES}:
            raise TagBoxError(f"the paper has no table of {name}")
    if request.limit is not None and request.limit < 1:
        raise TagBoxError(f"{request.limit} tracks are nothing to run; give --limit 1 or more")
    if request.seconds is not None and not 1 <= request.seconds <= 3600:
        raise TagBoxError(f"excerpts of {request.seconds:g} s cannot be judged; give 1 to 3600")
    name = request.generator
    if name not in generators.GENERATORS and not Path(name).is_file():
        known = ", ".join(generators.GENERATORS)
        raise TagBoxError(f"no generator is called {name!r}; choose one of {known}, or give a file")
    for preset in PRESETS:
        _settings(preset, "mtat/fcn", request)


def _data(table: PublishedTable, request: Request) -> Dataset | str:
    """The data of a table, or why there are none."""
    folder = request.folders.get(table.dataset)
    if folder is None:
        option = {"MUSDB18": "--musdb", "Slakh2100": "--slakh"}[table.dataset]
        return f"no data given ({option} FOLDER)"
    layout = {"MUSDB18": "musdb", "Slakh2100": "slakh"}[table.dataset]
    dataset = registry.find(folder, layout=layout)
    splits = (TEST,) if any(track.split == TEST for track in dataset.tracks) else ()
    return registry.find(folder, layout=layout, splits=splits, limit=request.limit)


def _described(dataset: Dataset, request: Request) -> str:
    splits = sorted({track.split for track in dataset.tracks if track.split})
    of = f" of its {', '.join(splits)} split" if splits else ""
    length = "whole" if request.seconds is None else f"{request.seconds:g} s of each"
    tracks = f"{len(dataset.tracks)} track{'s' * (len(dataset.tracks) != 1)}"
    return f"{dataset.name}, {tracks}{of}, {length}"


def _settings(preset: str, tagger: str, request: Request) -> presets.Settings:
    return presets.override(
        presets.find(preset).settings,
        taggers=(tagger,),
        generator=request.generator,
        steps=request.steps,
        seed=request.seed,
    )


class _Models:
    """Which runs a system has, and what stands in their way; models are looked for once each."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._known: dict[str, str] = {}

    def runs_of(self, system: System) -> list[tuple[str, Method | None, str]]:
        """(run, method, why it cannot run) of every run of `system`."""
        if system.kind == "trained":
            why = "not ours to run: judge its stems with tagbox evaluate --estimates NAME=FOLDER"
            return [(AS_IT_IS, None, why)]
        if system.kind == "baseline":
            try:
                return [(AS_IT_IS, baselines.find(system.method), "")]
            except TagBoxError as error:
                return [(AS_IT_IS, None, str(error))]
        return [self._preset(preset, system.method) for preset in PRESETS]

    def _preset(self, preset: str, tagger: str) -> tuple[str, Method | None, str]:
        settings = _settings(preset, tagger, self._request)
        data, _, architecture = tagger.partition("/")
        device = devices.select_device(self._request.device)
        obstacles = [
            self._obstacle(tagger, lambda: models.load_tagger(architecture, data)),
            self._obstacle(settings.generator, lambda: models.load_generator(settings.generator, device)),
        ]
        method = Separator(f"{preset} {tagger}", preset, settings, self._request.device)
        return preset, method, "; ".join(why for why in obstacles if why)

    def _obstacle(self, name: str, load: Callable[[], object]) -> str:
        if name not in self._known:
            try:
                load_tagger()
                self._known[name] = ""
            except TagBoxError as error:
                self._known[name] = str(error)
        return self._known[name]


def _run(
    methods: Sequence[Method],
    dataset: Dataset,
    sources: Sequence[str],
    out: Path,
    name: str,
    request: Request,
    on_progress: OnProgress | None,
) -> list[Record]:
    """The records of `methods` on what `dataset` has of `sources`."""
    tracks = (
        dataclasses.replace(track, sources={w: s for w, s in track.sources.items() if w in sources})
        for track in dataset.tracks
    )
    narrowed = dataclasses.replace(dataset, tracks=tuple(track for track in tracks if track.sources))
    if not narrowed.tracks:
        return []
    plan = runner.Plan(
        dataset=narrowed,
        methods=tuple(methods),
        measures=Measures(judge="", window_sdr=False, seed=request.seed),
        seconds=request.seconds,
        together=False,
        players=0,
        sources=tuple(sources),
    )

    def tell(done: int, total: int, records: Sequence[Record]) -> None:
        if on_progress is not None:
            on_progress(f"{dataset.layout}, {name}", done, total)

    return runner.evaluate(plan, out / dataset.layout / name, request.jobs, resume=True, on_records=tell)


def _verdicts(table: PublishedTable, method: Method, records: Sequence[Record]) -> list[TableVerdict]:
    """What is to be said of `method`: nothing of sources that it was not asked for."""
    asked = {record["source"] for record in records if record["method"] == method.name}
    told = [v for v in summarise(records).verdicts if v.method == method.name]
    return [
        TableVerdict(table.number, v)
        for v in told
        if v.source in asked or (v.source == ALL and len(asked) > 1)
    ]


def _collect(
    outcomes: dict[tuple[System, str], dict[str, Outcome]],
    system: System,
    run: str,
    method: str,
    table: PublishedTable,
    sources: Sequence[str],
    dataset: Dataset | str,
    records: Sequence[Record],
    why: str = "",
) -> None:
    """Sort the records of a run into the cells that it has."""
    if isinstance(dataset, str):
        why = why or dataset
    for source in sources:
        own = [r for r in records if r["method"] == method and r["source"] == source]
        outcomes.setdefault((system, source), {})[run] = (
            Outcome(why=why) if why else _outcome(source, method, own, table)
        )


def _outcome(source: str, method: str, records: Sequence[Record], table: PublishedTable) -> Outcome:
    if not records:
        return Outcome(why=f"no track of the data has {source}")
    row = summarise(records).row(source, method)
    assert row is not None
    if row.measured == 0:
        reasons = dict.fromkeys(str(record.get("why", record["status"])) for record in records)
        return Outcome(missing=row.missing, why="; ".join(reasons))
    return Outcome(row.sdri, row.si_sdri, row.missing)
