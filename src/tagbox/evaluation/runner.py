"""Evaluate: plan all cases, run those that are not on disk yet, write each as it finishes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagbox import manifest
from tagbox.errors import TagBoxError
from tagbox.evaluation import case, excerpts, result_store
from tagbox.evaluation.case import Job, Measures, Record
from tagbox.evaluation.datasets.registry import Dataset, Track
from tagbox.evaluation.excerpts import Excerpt
from tagbox.evaluation.systems import Method
from tagbox.kernels import allocator

AUDIO = "audio"


@dataclass(frozen=True)
class Plan:
    """Everything that an evaluation is to do.

    Attributes:
        seconds: of each excerpt; None takes whole tracks.
        together: ask for all sources of a track in one go, rather than for each alone. A method that is told
            all of them knows more.
        players: of so many cases, audio is kept for the report.
        sources: what the data set was narrowed to, for the manifest.
    """

    dataset: Dataset
    methods: tuple[Method, ...]
    measures: Measures
    seconds: float | None
    together: bool
    players: int
    sources: tuple[str, ...] = ()

    def request(self) -> dict[str, Any]:
        """What decides the results, as it stands in run.json."""
        return {
            "dataset": self.dataset.name,
            "layout": self.dataset.layout,
            "tracks": [f"{track.split}/{track.name}".lstrip("/") for track in self.dataset.tracks],
            "sources": list(self.sources),
            "seconds": self.seconds,
            "seed": self.measures.seed,
            "together": self.together,
            "judge": self.measures.judge,
            "window_sdr": self.measures.window_sdr,
            "players": self.players,
            "methods": {method.name: {"kind": method.kind, **method.describe()} for method in self.methods},
            "skipped": list(self.dataset.skipped),
            "left_out": {track.name: list(track.left_out) for track in self.dataset.tracks if track.left_out},
            "versions": manifest.versions(),
        }


OnRecords = Callable[[int, int, Sequence[Record]], None]
"""Told (cases done, cases in all, the records of the last one)."""


def evaluate(
    plan: Plan, folder: Path, jobs: int = 1, resume: bool = False, on_records: OnRecords | None = None
) -> list[Record]:
    """Run what is missing of `plan`, and hand back all records in the plan's order.

    Args:
        plan: what to do.
        folder: for the results; see `tagbox.evaluation.result_store`.
        jobs: how many processes.
        resume: go on with what is in `folder`.
        on_records: told after every case.

    Raises:
        TagBoxError: `folder` holds other results or cannot be written, or a process died.
    """
    if jobs < 1:
        raise TagBoxError(f"{jobs} processes cannot work; give --jobs 1 or more")
    names = [method.name for method in plan.methods]
    if len(set(names)) != len(names):
        raise TagBoxError(f"two methods have one name ({', '.join(names)}); give each its own")
    known = {record["key"]: record for record in result_store.open_run(folder, plan.request(), resume)}
    every = list(planned(plan, folder))
    todo = [job for job in every if not all(key in known for key in job.keys)]
    done, total = len(every) - len(todo), len(every)
    for records in _run(_placed(todo, plan), len(todo), plan.measures, jobs):
        fresh = [record for record in records if record["key"] not in known]
        result_store.append(folder, fresh)
        known.update({record["key"]: record for record in fresh})
        done += 1
        if on_records is not None:
            on_records(done, total, fresh)
    return [known[key] for job in every for key in job.keys]


def planned(plan: Plan, folder: Path) -> Iterator[Job]:
    """Every case in the order of running: track by track, so that an early table compares like with like."""
    asked = [
        (track, words)
        for track in plan.dataset.tracks
        for words in ([tuple(track.sources)] if plan.together else [(word,) for word in track.sources])
    ]
    heard = _heard([words for _, words in asked], plan.players)
    for i, (track, words) in enumerate(asked):
        for method in plan.methods:
            # Controls are known by ear: the mixture stands beside every case anyway.
            keep = i in heard and method.kind != "control"
            yield Job(track, words, method, folder / AUDIO if keep else None)


def _heard(asked: Sequence[tuple[str, ...]], players: int) -> set[int]:
    """Which cases are to be heard: the first of each source, then whatever comes."""
    fresh: list[int] = []
    others: list[int] = []
    known: set[str] = set()
    for i, words in enumerate(asked):
        (others if known.issuperset(words) else fresh).append(i)
        known.update(words)
    return set([*fresh, *others][:players])


def _placed(todo: Iterable[Job], plan: Plan) -> Iterator[tuple[Job, Excerpt | str]]:
    """Each job with its excerpt, chosen when its turn comes: that alone means reading every stem once."""
    last: tuple[Track, tuple[str, ...]] | None = None
    excerpt: Excerpt | str = ""
    for job in todo:
        if last is None or last[0] is not job.track or last[1] != job.words:
            last = (job.track, job.words)
            try:
                excerpt = excerpts.choose(job.track, job.words, plan.seconds, plan.measures.seed)
            except TagBoxError as error:
                excerpt = str(error)
        yield job, excerpt


def _run(
    todo: Iterable[tuple[Job, Excerpt | str]], count: int, measures: Measures, jobs: int
) -> Iterator[list[Record]]:
    if jobs == 1 or count <= 1:
        for job, excerpt in todo:
            yield case.run(job, excerpt, measures)
        return
    # Fork would copy PyTorch's threads in whatever state they are.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, count), context, _initialise, (jobs,))
    try:
        running: set[Future[list[Record]]] = set()
        for job, excerpt in todo:
            running.add(pool.submit(case.run, job, excerpt, measures))
            if len(running) >= 2 * jobs:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    except BrokenProcessPool as error:
        raise TagBoxError(
            "a process died, perhaps for want of memory; go on with --resume and fewer --jobs"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _initialise(jobs: int) -> None:
    # Ctrl-C reaches every process of the terminal; the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    allocator.keep_freed_memory()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    case.limit_threads(jobs)


def _leave_with_parent() -> None:
    """A parent that is killed takes nobody along, and its children would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
