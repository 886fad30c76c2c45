"""`tagbox.evaluate`: evaluate systems on a data set, and write reports."""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path

from tagbox.errors import TagBoxError
from tagbox.evaluation.baselines import find_baseline
from tagbox.evaluation.case import MeasureOptions
from tagbox.evaluation.controls import CEILING, CONTROLS
from tagbox.evaluation.datasets.registry import find_dataset
from tagbox.evaluation.datasets.track import Dataset
from tagbox.evaluation.external_stems import ExternalStems
from tagbox.evaluation.judge import check_judge, default_judge
from tagbox.evaluation.metrics import import_bss_eval
from tagbox.evaluation.reports.writer import write_reports
from tagbox.evaluation.runner import EvaluationPlan, OnRecords, run_plan
from tagbox.evaluation.summary import Summary, summarise
from tagbox.evaluation.systems import System, TagBoxSystem, check_models
from tagbox.parallel.engine import Engine
from tagbox.presets import find, override

NO_JUDGE = "none"


def evaluate(
    dataset: str | Path,
    results: str | Path,
    *,
    presets: Sequence[str] = (),
    baselines: Sequence[str] = (),
    estimates: Mapping[str, str | Path] | None = None,
    methods: Sequence[System] = (),
    layout: str | None = None,
    splits: Sequence[str] = (),
    sources: Sequence[str] = (),
    limit: int | None = None,
    seconds: float | None = None,
    together: bool = False,
    judge: str | None = None,
    window_sdr: bool = False,
    players: int = 4,
    seed: int = 0,
    jobs: int = 1,
    resume: bool = False,
    device: str = "auto",
    on_records: OnRecords | None = None,
) -> Summary:
    """Evaluate systems on recordings whose sources are known, beside controls that separate nothing.

    Args:
        dataset: its folder.
        results: folder for results.jsonl, table.csv, report.md and report.html.
        presets: TagBox's own, each as `parse_preset` reads it; "default" where no system is named at all.
        baselines: names in `tagbox.evaluation.baselines.BASELINES`.
        estimates: folders of stems that other systems wrote, by the system's name.
        methods: any other systems (`tagbox.evaluation.systems.System`).
        layout: how the data set lies on disk; recognised if None.
        splits: only these splits of it.
        sources: only these queries, for example "drums".
        limit: at most so many tracks, the first by name.
        seconds: length of the excerpts, chosen where the source plays; None takes whole recordings.
        together: whether to ask for all sources of a track at once, rather than one by one.
        judge: a tagger that no preset steers by, as data/architecture, or "none"; chosen if None.
        window_sdr: whether to measure BSS Eval v4's median over windows too, by museval.
        players: for how many sources the report keeps the audio.
        seed: of excerpts and random masks.
        jobs: how many processes run cases.
        resume: whether to go on with the results that are in `results`.
        device: that presets run on: "auto", "cpu", "cuda" or "mps".
        on_records: called after every case with how many cases are done, how many there are, and the newest
            records.

    Returns:
        rows and verdicts, as the reports have them.

    Raises:
        TagBoxError: the data set, a system or an option cannot be used, or `results` holds other results.
    """
    folders = {name: Path(folder) for name, folder in (estimates or {}).items()}
    named = presets or baselines or folders or not methods
    systems = (*(select_systems(presets, baselines, folders, device) if named else ()), *methods)
    tracks = find_dataset(Path(dataset), layout, splits, sources, limit)
    plan = plan_evaluation(
        tracks, systems, sources, seconds, together, judge, window_sdr, players, seed, device
    )
    return run_evaluation(plan, Path(results), jobs, resume, on_records)


def select_systems(
    presets: Sequence[str],
    baselines: Sequence[str],
    estimates: Mapping[str, Path],
    device: str = "auto",
) -> tuple[System, ...]:
    """Return the systems that are named; the default preset where none is.

    Raises:
        TagBoxError: there is no such preset, setting, baseline or folder.
    """
    if not (presets or baselines or estimates):
        presets = ("default",)
    for name, folder in estimates.items():
        if not folder.is_dir():
            raise TagBoxError(f"there is no folder {folder} with {name}'s estimates; check the spelling")
    return (
        *(find_baseline(name) for name in baselines),
        *(ExternalStems(name, folder) for name, folder in estimates.items()),
        *(parse_preset(text, device) for text in presets),
    )


def parse_preset(text: str, device: str = "auto") -> TagBoxSystem:
    """Parse a preset with changes, `[NAME=]PRESET[:FIELD=VALUE,...]`; plus signs join the values of a list.

    >>> parse_preset("paper:generator=embedded,steps=50").settings.steps
    50
    >>> parse_preset("finer=default:components=24").name
    'finer'

    Raises:
        TagBoxError: there is no such preset or setting, or a value is not allowed.
    """
    head, _, changes = text.partition(":")
    name, equals, preset = head.rpartition("=")
    settings = find(preset.strip()).settings
    values = {}
    for change in filter(None, (part.strip() for part in changes.split(","))):
        field, field_equals, value = change.partition("=")
        if not field_equals or field not in vars(settings):
            raise TagBoxError(
                f"{change!r} changes no setting of {preset}; write FIELD=VALUE, where FIELD is one of "
                f"{', '.join(vars(settings))}"
            )
        values[field] = _parse_value(field, value, getattr(settings, field))
    settings = override(settings, **values)
    return TagBoxSystem(name.strip() if equals else text, preset.strip(), settings, device)


def _parse_value(field: str, text: str, present: object) -> object:
    """Parse `text` as a value of the same type as `present`."""
    if isinstance(present, str):
        return text
    if isinstance(present, tuple):
        return tuple(_parse_value(field, part, present[0]) for part in text.split("+"))
    try:
        value = ast.literal_eval(text.capitalize() if isinstance(present, bool) else text)
    except (ValueError, SyntaxError):
        value = None
    if isinstance(present, float) and isinstance(value, int):
        value = float(value)
    if type(value) is not type(present):
        raise TagBoxError(f"{field} cannot be {text!r}; give a value such as {present}")
    return value


def plan_evaluation(
    dataset: Dataset,
    systems: Sequence[System],
    sources: Sequence[str] = (),
    seconds: float | None = None,
    together: bool = False,
    judge: str | None = None,
    window_sdr: bool = False,
    players: int = 4,
    seed: int = 0,
    device: str = "auto",
) -> EvaluationPlan:
    """Plan the evaluation of `systems`, all controls and the ceiling, and check that everything is at hand.

    The arguments are those of `evaluate`.

    Raises:
        TagBoxError: an option is not allowed, a model is missing, or a preset steers by the judge.
    """
    if seconds is not None and not seconds > 0:
        raise TagBoxError(f"an excerpt cannot last {seconds:g} s; give --seconds above 0")
    if players < 0:
        raise TagBoxError(f"{players} players cannot be shown; give --players 0 or more")
    all_systems = (*CONTROLS, CEILING, *systems)
    names = [system.name for system in all_systems]
    for name in names:
        if names.count(name) > 1:
            raise TagBoxError(f"two methods are called {name!r}; give each a name of its own (NAME=...)")
    steering_taggers = [
        tagger for system in systems if isinstance(system, TagBoxSystem) for tagger in system.settings.taggers
    ]
    if judge is None:
        judge = default_judge(steering_taggers)
    elif judge == NO_JUDGE:
        judge = ""
    else:
        check_judge(judge, steering_taggers)
    if window_sdr:
        import_bss_eval()
    check_models(systems, device)
    options = MeasureOptions(judge, window_sdr, seed)
    return EvaluationPlan(dataset, all_systems, options, seconds, together, players, tuple(sorted(sources)))


def run_evaluation(
    plan: EvaluationPlan,
    folder: Path,
    jobs: int = 1,
    resume: bool = False,
    on_records: OnRecords | None = None,
    engine: Engine | None = None,
) -> Summary:
    """Run the cases of `plan` that are not in `folder` yet, summarise all, and write the reports.

    The arguments are those of `evaluate` and `run_plan`.

    Raises:
        TagBoxError: `folder` holds other results or cannot be written, or a process died.
    """
    records = run_plan(plan, folder, jobs, resume, on_records, engine)
    summary = summarise(records)
    write_reports(folder, plan.request(), records, summary)
    return summary
