"""`tagbox.evaluate`: a data set and methods in, results and reports out."""

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from tagbox import presets
from tagbox.errors import TagBoxError
from tagbox.evaluation import baselines, metrics, reports, runner, summary
from tagbox.evaluation import judge as judges
from tagbox.evaluation.case import Measures
from tagbox.evaluation.controls import CEILING, CONTROLS
from tagbox.evaluation.datasets import registry
from tagbox.evaluation.datasets.registry import Dataset
from tagbox.evaluation.external_stems import ExternalStems
from tagbox.evaluation.runner import OnRecords, Plan
from tagbox.evaluation.summary import Summary
from tagbox.evaluation.systems import Method, Separator, check

NO_JUDGE = "none"


def evaluate(
    dataset: str | Path,
    results: str | Path,
    *,
    presets: Sequence[str] = (),
    baselines: Sequence[str] = (),
    estimates: Mapping[str, str | Path] | None = None,
    methods: Sequence[Method] = (),
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
    """Judge methods on recordings whose sources are known, against controls that separate nothing.

    Args:
        dataset: its folder.
        results: folder for results.jsonl, table.csv, report.md and report.html.
        presets: TagBox's own, each as `variant` reads them; "default" when nothing at all is asked for.
        baselines: names in `tagbox.evaluation.baselines.BASELINES`.
        estimates: folders of stems that other systems wrote, by the name of the system.
        methods: whatever else answers tasks (`tagbox.evaluation.systems.Method`).
        layout: how the data set lies on disk; recognised when left out.
        splits: only these folders of it.
        sources: only these words, for example "drums".
        limit: at most so many tracks, the first by name.
        seconds: length of the excerpts, chosen where the source plays; whole recordings when left out.
        together: ask for all sources of a track in one go, rather than for each alone.
        judge: a tagger that no preset steers by, as data/architecture, or "none"; chosen when left out.
        window_sdr: also BSS Eval v4's median over windows, by museval.
        players: of so many cases, audio is kept for the report.
        seed: of excerpts and random masks.
        jobs: how many processes.
        resume: go on with what is in `results`.
        device: where presets run.
        on_records: told (cases done, cases in all, the newest records) after every case.

    Returns:
        rows and verdicts, as in the reports.

    Raises:
        TagBoxError: the data set, a method or an option cannot be used, or `results` is taken.
    """
    folders = {name: Path(folder) for name, folder in (estimates or {}).items()}
    asked = presets or baselines or folders or not methods
    chosen = choose(presets, baselines, folders, device) if asked else ()
    found = registry.find(Path(dataset), layout, splits, sources, limit)
    made = plan(
        found, (*chosen, *methods), sources, seconds, together, judge, window_sdr, players, seed, device
    )
    return run(made, Path(results), jobs, resume, on_records)


def choose(
    presets: Sequence[str],
    baselines: Sequence[str],
    estimates: Mapping[str, Path],
    device: str = "auto",
) -> tuple[Method, ...]:
    """The methods that were asked for; the default preset when none was.

    Raises:
        TagBoxError: there is no such preset, setting, baseline or folder.
    """
    if not (presets or baselines or estimates):
        presets = ("default",)
    for name, folder in estimates.items():
        if not folder.is_dir():
            raise TagBoxError(f"there is no folder {folder} with {name}'s estimates; check the spelling")
    return (
        *(baseline(name) for name in baselines),
        *(ExternalStems(name, folder) for name, folder in estimates.items()),
        *(variant(text, device) for text in presets),
    )


def baseline(name: str) -> Method:
    """The baseline called `name`.

    Raises:
        TagBoxError: there is none, or librosa is missing.
    """
    return baselines.find(name)


def variant(text: str, device: str = "auto") -> Separator:
    """A preset with changes, written `[NAME=]PRESET[:FIELD=VALUE,...]`; lists with plus signs between.

    >>> variant("paper:generator=embedded,steps=50").settings.steps
    50
    >>> variant("finer=default:components=24").name
    'finer'

    Raises:
        TagBoxError: there is no such preset or setting, or a value makes no sense.
    """
    head, _, changes = text.partition(":")
    named, equals, preset = head.rpartition("=")
    base = presets.find(preset.strip()).settings
    known = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    values = {}
    for change in filter(None, (part.strip() for part in changes.split(","))):
        name, given, value = change.partition("=")
        if not given or name not in known:
            raise TagBoxError(
                f"{change!r} changes no setting of {preset}; write FIELD=VALUE, where FIELD is one of "
                f"{', '.join(known)}"
            )
        values[name] = _value(name, value, known[name])
    settings = presets.override(base, **values)
    return Separator(named.strip() if equals else text, preset.strip(), settings, device)


def _value(name: str, text: str, like: object) -> object:
    """`text` as a value of the same kind as `like`."""
    if isinstance(like, str):
        return text
    if isinstance(like, tuple):
        return tuple(_value(name, part, like[0]) for part in text.split("+"))
    try:
        value = ast.literal_eval(text.capitalize() if isinstance(like, bool) else text)
    except (ValueError, SyntaxError):
        value = None
    if isinstance(like, float) and isinstance(value, int):
        value = float(value)
    if type(value) is not type(like):
        raise TagBoxError(f"{name} cannot be {text!r}; give a value such as {like}")
    return value


def plan(
    dataset: Dataset,
    methods: Sequence[Method],
    sources: Sequence[str] = (),
    seconds: float | None = None,
    together: bool = False,
    judge: str | None = None,
    window_sdr: bool = False,
    players: int = 4,
    seed: int = 0,
    device: str = "auto",
) -> Plan:
    """All controls and `methods` on `dataset`, with everything that they need checked; see `evaluate`.

    Raises:
        TagBoxError: an option makes no sense, a model is missing, or the judge is a party.
    """
    if seconds is not None and not seconds > 0:
        raise TagBoxError(f"an excerpt cannot last {seconds:g} s; give --seconds above 0")
    if players < 0:
        raise TagBoxError(f"{players} players cannot be shown; give --players 0 or more")
    every = (*CONTROLS, CEILING, *methods)
    names = [method.name for method in every]
    for name in names:
        if names.count(name) > 1:
            raise TagBoxError(f"two methods are called {name!r}; give each a name of its own (NAME=...)")
    in_the_loop = [t for method in methods if isinstance(method, Separator) for t in method.settings.taggers]
    if judge == NO_JUDGE:
        judge = ""
    elif judge is None:
        judge = judges.default_judge(in_the_loop)
    else:
        judges.check(judge, in_the_loop)
    if window_sdr:
        metrics.require_museval()
    check(list(methods), device)
    return Plan(
        dataset, every, Measures(judge, window_sdr, seed), seconds, together, players, tuple(sorted(sources))
    )


def run(
    plan: Plan, folder: Path, jobs: int = 1, resume: bool = False, on_records: OnRecords | None = None
) -> Summary:
    """Run what is missing of `plan`, write the reports into `folder`, and sum up.

    Raises:
        TagBoxError: `folder` holds other results or cannot be written, or a process died.
    """
    records = runner.evaluate(plan, folder, jobs, resume, on_records)
    figures = summary.summarise(records)
    reports.write(folder, plan.request(), records, figures)
    return figures
