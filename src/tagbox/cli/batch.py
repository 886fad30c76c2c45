"""Do recordings in a batch: one fault stops no other, and the same command goes on after an interruption."""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import typer

from tagbox.cli.batch_display import BatchDisplay
from tagbox.cli.console import print_line
from tagbox.cli.options import EXIT_CODES
from tagbox.cli.output import Output, print_error
from tagbox.cli.recordings import is_pipe
from tagbox.errors import MachineError, TagBoxError
from tagbox.parallel.engine import ENGINES, Died, Engine, Prepare, Started, ThisProcess
from tagbox.parallel.job_count import processes_that_pay
from tagbox.parallel.storage import Place

MAX_LISTED_FAULTS = 50
"""At the end of a batch."""
SMALL_BATCH = 10
"""Recordings whose faults are not listed again at the end."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a recording.

    Attributes:
        document: for --json.
        lines: to print, and whether each is for standard error.
        fault: why it failed.
        unexpected: the error, where it is a fault of TagBox.
        stopped: why the run ended.
        of_earlier_run: whether it was done already.
        value: what else the work gave.
    """

    document: dict[str, Any]
    lines: tuple[tuple[str, bool], ...] = ()
    fault: TagBoxError | None = None
    unexpected: Exception | None = None
    stopped: str = "steps"
    of_earlier_run: bool = False
    value: Any = None


@dataclasses.dataclass
class BatchReport:
    """What became of the recordings so far.

    Attributes:
        total: how many there are.
        is_batch: whether there are, or may be, several.
        documents: by position, for --json.
        faults: why recordings failed.
        done: how many are done, now or before.
        stopped: why the last run ended that ended before its time.
        unexpected: the first error that is a fault of TagBox.
        interrupted: whether Ctrl-C ended the batch.
    """

    total: int
    is_batch: bool = True
    documents: dict[int, dict[str, Any]] = dataclasses.field(default_factory=dict)
    faults: list[TagBoxError] = dataclasses.field(default_factory=list)
    done: int = 0
    stopped: str | None = None
    unexpected: Exception | None = None
    interrupted: bool = False


OnOutcome = Callable[[int, Outcome], None]
"""Called with the position of a recording and what became of it."""


def is_on_ray(engine: str, address: str | None) -> bool:
    """Return whether a Ray cluster is asked for.

    Args:
        engine: its name, as given on the command line.
        address: of the cluster.

    Raises:
        TagBoxError: there is no such engine, or it has no address.
    """
    if engine not in ENGINES:
        raise TagBoxError(f"--engine cannot be {engine!r}; choose {' or '.join(ENGINES)}")
    if address is not None and engine != "ray":
        raise TagBoxError("--address is that of a Ray cluster; give --engine ray as well")
    return engine == "ray"


def choose_engine(
    paths: Sequence[Place],
    jobs: int | None,
    single_threaded: bool,
    device: str,
    on_ray: bool,
    address: str | None,
    output: Output,
    out: Place | None = None,
) -> Engine:
    """Choose what works through recordings: this process, several, or a Ray cluster.

    Args:
        paths: of the recordings.
        jobs: how many processes are asked for; as many as pay if None.
        single_threaded: whether the method computes on one thread.
        device: as given on the command line.
        on_ray: whether a Ray cluster is asked for.
        address: of the cluster.
        output: of the command, for what is worth knowing of the cluster.
        out: the folder of the results, where there is one.

    Raises:
        TagBoxError: Ray is not installed, or a recording comes through a pipe, which ends at this machine.
    """
    has_pipe = any(is_pipe(path) for path in paths)
    if on_ray:
        if has_pipe:
            raise TagBoxError("--engine ray takes files; leave it out for standard input and named pipes")
        shares_folder = any(isinstance(place, Path) for place in (*paths, out))
        return ray_engine(jobs, single_threaded, device, address, output, shares_folder)
    # What comes through standard input comes to this process.
    if len(paths) < 2 or has_pipe:
        return ThisProcess()
    count = jobs or processes_that_pay(paths, single_threaded, device)
    if count < 2:
        return ThisProcess()
    from tagbox.parallel.processes import Processes

    return Processes(min(count, len(paths)))


def ray_engine(
    jobs: int | None,
    single_threaded: bool,
    device: str,
    address: str | None,
    output: Output,
    shares_folder: bool = True,
) -> Engine:
    """Return the engine of a Ray cluster; the arguments are those of `choose_engine`.

    `shares_folder` is whether the machines need the folder in which the command was given.

    Raises:
        TagBoxError: Ray is not installed, or nobody answers at the address.
    """
    from tagbox.parallel.ray_actors import RayActors

    return RayActors(address, jobs, single_threaded, device, output.print_note, shares_folder)


def run_batch(
    names: Sequence[str],
    items: Sequence[Any],
    prepare: Prepare,
    engine: Engine,
    output: Output,
    on_outcome: OnOutcome,
    is_batch: bool = True,
) -> BatchReport:
    """Do `items` with `engine`, and print what becomes of each as it is known.

    Args:
        names: of the recordings, as they were given.
        items: what the work takes; it returns an `Outcome`.
        prepare: makes the work.
        engine: does it.
        output: of the command.
        on_outcome: called after the lines of each have been printed.
        is_batch: otherwise the work prints and shows all itself, of the one recording.

    Raises:
        KeyboardInterrupt: Ctrl-C, where it is no batch.
        MachineError: no process can be started.
    """
    report = BatchReport(len(items), is_batch)
    shown = output if is_batch else Output(quiet=True)
    display = BatchDisplay(len(items), "recordings", shown)
    try:
        with display, closing(engine.run(prepare, items, display.progress)) as events:
            for event in events:
                if isinstance(event, Started):
                    display.start(event.index, Path(names[event.index]).name)
                    continue
                index = event.index
                outcome = _of_death(names[index], event) if isinstance(event, Died) else event.result
                display.finish(index, outcome.fault is not None, outcome.of_earlier_run)
                with display.hidden():
                    for line, is_error in outcome.lines:
                        print_line(line, is_error)
                    if is_batch and outcome.fault is not None:
                        print_error(str(outcome.fault))
                    on_outcome(index, outcome)
                _add(report, index, outcome, keep_document=output.json)
                if outcome.stopped == "interrupted":
                    report.interrupted = True
                    break
    except KeyboardInterrupt:
        if not is_batch:
            raise
        report.interrupted = True
    display.conclude()
    return report


def finish_batch(report: BatchReport, output: Output, records: Place | None = None) -> None:
    """Print the documents and the faults of a batch, and end the command with its exit code.

    Args:
        report: of the batch.
        output: of the command.
        records: where every fault is listed.

    Raises:
        TagBoxError: the only recording failed.
        typer.Exit: some of several failed, Ctrl-C was pressed, or a loss was not a finite number.
        Exception: a fault of TagBox.
    """
    if report.documents and (report.is_batch or not report.faults):
        output.print_json(lambda: [report.documents[index] for index in sorted(report.documents)])
    if report.unexpected is not None:
        # The other recordings are done; this has a traceback, because somebody has to mend it.
        raise report.unexpected
    if report.faults and not report.is_batch:
        raise report.faults[0]
    if report.faults:
        print_error(f"{len(report.faults)} of {report.total} recordings failed; {report.done} are done")
        # Those of a small batch are still in view.
        listed = report.faults[:MAX_LISTED_FAULTS] if report.total > SMALL_BATCH else []
        for fault in listed:
            print_line(f"  {fault}", error=True)
        if len(report.faults) > MAX_LISTED_FAULTS:
            where = f", listed in {records}" if records else ""
            print_line(f"  and {len(report.faults) - MAX_LISTED_FAULTS} more{where}", error=True)
    if report.interrupted:
        if report.is_batch:
            done = f"{report.done} of {report.total} recordings are done"
            print_error(f"stopped; {done}, and the same command goes on")
        raise typer.Exit(EXIT_CODES["interrupted"])
    if report.faults:
        raise typer.Exit(1 if all(isinstance(fault, MachineError) for fault in report.faults) else 2)
    if report.stopped is not None:
        raise typer.Exit(EXIT_CODES[report.stopped])


def _add(report: BatchReport, index: int, outcome: Outcome, keep_document: bool) -> None:
    if keep_document:
        report.documents[index] = outcome.document
    if outcome.fault is not None:
        report.faults.append(outcome.fault)
        report.unexpected = report.unexpected or outcome.unexpected
    else:
        report.done += 1
    if outcome.stopped in EXIT_CODES:
        report.stopped = outcome.stopped


def _of_death(name: str, event: Died) -> Outcome:
    message = f"{name}: the process that worked on it {event.reason}"
    return Outcome({"file": name, "error": message}, fault=MachineError(message))
