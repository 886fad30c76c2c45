"""``tagbox evaluate``."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tagbox.audio.validation import is_address, require_regular_file
from tagbox.cli import completion
from tagbox.cli.batch import is_on_ray, ray_engine
from tagbox.cli.checks import check_folder
from tagbox.cli.options import Address, Device, EngineOption
from tagbox.cli.output import Json, Output, Quiet, Verbose, print_error
from tagbox.cli.progress import ProgressDisplay, time_left
from tagbox.errors import TagBoxError

if TYPE_CHECKING:
    from tagbox.evaluation.runner import EvaluationPlan
    from tagbox.evaluation.summary import Summary
    from tagbox.parallel.engine import Engine

REPORTS = ("table.csv", "report.md", "report.html")


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)],
    layout: Annotated[
        str | None, typer.Option(help="Layout: slakh, musdb or stems; recognised if left out.")
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(
            help="Preset of TagBox, perhaps changed (paper:steps=50,lr=5); repeat for several. "
            "The default preset if no method is given at all.",
            autocompletion=completion.presets,
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option(help="Baseline: hpss or repet-sim; repeat for several.")
    ] = None,
    estimates: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER", help="Stems that another system wrote, in a folder for each track."
        ),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Only this folder of the data set, such as test; repeat for several."),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this source, such as drums; repeat for several.", autocompletion=completion.tags
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of tracks.")] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="Length of excerpts, which are chosen where the source plays; whole tracks if left out."
        ),
    ] = None,
    together: Annotated[
        bool,
        typer.Option("--together/--alone", help="Separate all sources of a track at once, or one by one."),
    ] = False,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Tagger that judges and that no preset uses (mtat/pons-vgg), or none; chosen if left out.",
            autocompletion=completion.taggers,
        ),
    ] = None,
    window_sdr: Annotated[
        bool,
        typer.Option(
            "--window-sdr/--no-window-sdr", help="Also measure the median of BSS Eval v4, with museval."
        ),
    ] = False,
    players: Annotated[int, typer.Option(min=0, help="Number of cases with audio in the report.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed of excerpts and random masks.")] = 0,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of processes; 1 if left out.", show_default=False)
    ] = None,
    engine: EngineOption = "processes",
    address: Address = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    device: Device = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Evaluate separation on recordings whose stems are known, against controls that separate nothing.

    DATASET is laid out as Slakh2100 or MUSDB18, or holds folders with
    mixture.wav and stems.

    Writes OUT/results.jsonl case by case, then table.csv, report.md and
    report.html.

    Examples:

      tagbox evaluate examples -o out/examples

      tagbox evaluate slakh2100 -o out/slakh --split test --limit 20 --seconds 20 --preset default

      tagbox evaluate musdb18hq -o out/peers --split test --estimates demucs=separated/htdemucs
    """
    output = Output(quiet, verbose, json)
    on_ray = is_on_ray(engine, address)
    if is_address(dataset):
        require_regular_file(dataset)
    check_folder(out)

    from tagbox.evaluation.datasets.registry import find_dataset
    from tagbox.evaluation.evaluate import plan_evaluation, select_systems
    from tagbox.evaluation.external_stems import parse_external_stems
    from tagbox.evaluation.systems import TagBoxSystem
    from tagbox.methods.registry import find_method

    external = [parse_external_stems(text) for text in estimates or []]
    names = [each.name for each in external]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise TagBoxError(f"two estimates are called {', '.join(repeated)}; give each its own name")
    folders = {each.name: each.folder for each in external}
    systems = select_systems(preset or (), baseline or (), folders, device)
    tracks = find_dataset(dataset, layout, split or (), sources or (), limit)
    for line in tracks.skipped:
        output.print_note(f"skipped: {line}")
    plan = plan_evaluation(
        tracks, systems, sources or (), seconds, together, judge, window_sdr, players, seed, device
    )
    for system in systems:
        output.print_detail(f"{system.name}: {system.describe()}")
    single_threaded = not any(
        isinstance(system, TagBoxSystem) and find_method(system.settings.steer).needs_generator
        for system in systems
    )
    chosen_engine = ray_engine(jobs, single_threaded, device, address, output) if on_ray else None
    summary = _run(plan, out, jobs or 1, resume, output, chosen_engine)
    for note in summary.notes:
        output.print_note(note)
    written = [out / name for name in REPORTS]
    if output.prints_text:
        from tagbox.cli.evaluation_tables import print_summary

        print_summary(summary)
    for path in written:
        output.print_result(path)
    output.print_json(lambda: {"written": [str(path) for path in written], **dataclasses.asdict(summary)})


def _run(
    plan: "EvaluationPlan", out: Path, jobs: int, resume: bool, output: Output, engine: "Engine | None"
) -> "Summary":
    """Run the evaluation; after Ctrl-C, say how to continue it.

    Raises:
        typer.Exit: Ctrl-C, with code 130.
    """
    from tagbox.evaluation.evaluate import run_evaluation

    reporter = _CaseReporter(len(plan.systems), output)
    try:
        with reporter:
            return run_evaluation(plan, out, jobs, resume, reporter.case, engine)
    except KeyboardInterrupt:
        if not (out / "run.json").exists():
            raise
        print_error(
            f"stopped; {reporter.done} of {reporter.total or '?'} cases are in {out}, "
            "and the same command with --resume continues"
        )
        raise typer.Exit(130) from None


class _CaseReporter(ProgressDisplay):
    """Progress of an evaluation.

    Args:
        systems: how many are evaluated. Some are much faster than others, so the time that is left is
            estimated once every one of them has been timed.
    """

    def __init__(self, systems: int, output: Output) -> None:
        super().__init__("evaluation", output)
        self.done = 0
        self.total = 0
        self._systems = systems
        self._first: tuple[float, int] | None = None

    def case(self, done: int, total: int, records: Sequence[Mapping[str, Any]]) -> None:
        """Show one case; the run's callback."""
        self.done, self.total = done, total
        now = time.monotonic()
        began, already = self._first = self._first or (now, done)
        timed = done - already
        left = time_left(now - began, timed, total - already) if timed >= self._systems else ""
        case = " ".join(str(records[0][name]) for name in ("track", "source", "method")) if records else ""
        self.show(f"{done} of {total} cases{left}: {case}", done, total, at_once=done == total)
