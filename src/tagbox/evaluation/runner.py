"""Run an evaluation: list all cases, run those that are not on disk yet, and write each as it finishes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tagbox import manifest
from tagbox.errors import MachineError, TagBoxError
from tagbox.evaluation import result_store
from tagbox.evaluation.case import Case, MeasureOptions, Record, run_case
from tagbox.evaluation.datasets.track import Dataset, Track
from tagbox.evaluation.excerpts import Excerpt, choose_excerpt
from tagbox.evaluation.systems import System
from tagbox.parallel.engine import Died, Engine, Finished, Progress, Report, ThisProcess, Work
from tagbox.parallel.processes import Processes

AUDIO_FOLDER = "audio"
"""Below the folder of the results."""


@dataclass(frozen=True)
class EvaluationPlan:
    """Everything that an evaluation is to do.

    Attributes:
        dataset: whose tracks are separated.
        systems: that separate them, controls and ceiling included.
        options: what is measured.
        seconds: length of each excerpt; None takes whole tracks.
        together: whether all sources of a track are asked for at once, rather than one by one. A system that
            knows of all sources knows more.
        players: for how many sources the audio is kept for the report.
        sources: the queries that the data set was narrowed to, for run.json.
    """

    dataset: Dataset
    systems: tuple[System, ...]
    options: MeasureOptions
    seconds: float | None
    together: bool
    players: int
    sources: tuple[str, ...] = ()

    def request(self) -> dict[str, Any]:
        """Return everything that decides the results, as run.json has it."""
        tracks = self.dataset.tracks
        return {
            "dataset": self.dataset.name,
            "layout": self.dataset.layout,
            "tracks": [f"{track.split}/{track.name}".lstrip("/") for track in tracks],
            "sources": list(self.sources),
            "seconds": self.seconds,
            "seed": self.options.seed,
            "together": self.together,
            "judge": self.options.judge,
            "window_sdr": self.options.window_sdr,
            "players": self.players,
            "methods": {system.name: {"kind": system.kind, **system.describe()} for system in self.systems},
            "skipped": list(self.dataset.skipped),
            "left_out": {track.name: list(track.left_out) for track in tracks if track.left_out},
            "versions": manifest.versions(),
        }


OnRecords = Callable[[int, int, Sequence[Record]], None]
"""Called after every case with how many cases are done, how many there are, and the newest records."""


def run_plan(
    plan: EvaluationPlan,
    folder: Path,
    jobs: int = 1,
    resume: bool = False,
    on_records: OnRecords | None = None,
    engine: Engine | None = None,
) -> list[Record]:
    """Run the cases of `plan` that are not in `folder` yet.

    Args:
        folder: for the results; see `tagbox.evaluation.result_store`.
        jobs: how many processes run cases.
        resume: whether `folder` may hold results of this plan already.
        on_records: called after every case.
        engine: what runs the cases, instead of processes of this machine.

    Returns:
        all records, in the order of the plan.

    Raises:
        TagBoxError: `folder` holds other results or cannot be written.
        MachineError: a process died, and with it a case.
    """
    if jobs < 1:
        raise TagBoxError(f"{jobs} processes cannot work; give --jobs 1 or more")
    names = [system.name for system in plan.systems]
    if len(set(names)) != len(names):
        raise TagBoxError(f"two methods have one name ({', '.join(names)}); give each its own")
    done_records = {record["key"]: record for record in result_store.open_run(folder, plan.request(), resume)}
    cases = list(list_cases(plan, folder))
    missing = [case for case in cases if not all(key in done_records for key in case.record_keys)]
    done = len(cases) - len(missing)
    if engine is None:
        engine = Processes(min(jobs, len(missing))) if jobs > 1 and len(missing) > 1 else ThisProcess()
    for records in _run_cases(_with_excerpts(missing, plan), len(missing), plan.options, engine):
        new = [record for record in records if record["key"] not in done_records]
        result_store.append_records(folder, new)
        done_records.update({record["key"]: record for record in new})
        done += 1
        if on_records is not None:
            on_records(done, len(cases), new)
    return [done_records[key] for case in cases for key in case.record_keys]


def list_cases(plan: EvaluationPlan, folder: Path) -> Iterator[Case]:
    """Yield every case, track by track, so that an early table compares all systems on the same tracks."""
    asked = [
        (track, queries)
        for track in plan.dataset.tracks
        for queries in ([tuple(track.sources)] if plan.together else [(query,) for query in track.sources])
    ]
    with_audio = _select_for_players([queries for _, queries in asked], plan.players)
    for i, (track, queries) in enumerate(asked):
        for system in plan.systems:
            # The mixture is kept beside every estimate anyway, and everybody knows how controls sound.
            keeps_audio = i in with_audio and system.kind != "control"
            yield Case(track, queries, system, folder / AUDIO_FOLDER if keeps_audio else None)


def _select_for_players(asked: Sequence[tuple[str, ...]], players: int) -> set[int]:
    """Return the positions in `asked` whose audio is kept: the first of each source, then any others."""
    new: list[int] = []
    others: list[int] = []
    known: set[str] = set()
    for i, queries in enumerate(asked):
        (others if known.issuperset(queries) else new).append(i)
        known.update(queries)
    return set([*new, *others][:players])


def _with_excerpts(cases: Iterable[Case], plan: EvaluationPlan) -> Iterator[tuple[Case, Excerpt | str]]:
    """Yield each case with its excerpt, or with the reason why there is none.

    Choosing an excerpt reads a whole stem, so it is done once for all systems, and only when its turn comes.
    """
    last: tuple[Track, tuple[str, ...]] | None = None
    excerpt: Excerpt | str = ""
    for case in cases:
        if last is None or last[0] is not case.track or last[1] != case.queries:
            last = (case.track, case.queries)
            try:
                excerpt = choose_excerpt(case.track, case.queries, plan.seconds, plan.options.seed)
            except TagBoxError as error:
                excerpt = str(error)
        yield case, excerpt


def _run_cases(
    cases: Iterable[tuple[Case, Excerpt | str]], count: int, options: MeasureOptions, engine: Engine
) -> Iterator[list[Record]]:
    """Yield the records of each of `count` cases, in the order in which the cases finish.

    Raises:
        MachineError: a process died, and with it a case; all others are done first.
    """
    lost: list[str] = []
    names: list[str] = []
    with closing(engine.run(partial(_prepare_cases, options), _named(cases, names), _ignore)) as events:
        for event in events:
            if isinstance(event, Finished):
                yield event.result
            elif isinstance(event, Died):
                lost.append(f"{names[event.index]} ({event.reason})")
    if lost:
        raise MachineError(
            f"{len(lost)} of {count} cases are missing, because the process died that ran them: "
            f"{'; '.join(lost)}; go on with --resume and fewer --jobs"
        )


def _named(
    cases: Iterable[tuple[Case, Excerpt | str]], names: list[str]
) -> Iterator[tuple[Case, Excerpt | str]]:
    """Yield `cases`, and append each one's name to `names`."""
    for case, excerpt in cases:
        names.append(f"{case.track.name} {'+'.join(case.queries)} {case.system.name}")
        yield case, excerpt


def _prepare_cases(options: MeasureOptions, threads: int | None) -> Work:
    if threads is not None:
        torch.set_num_threads(min(torch.get_num_threads(), threads))
    return partial(_run_case, options)


def _run_case(options: MeasureOptions, item: tuple[Case, Excerpt | str], _: Report) -> list[Record]:
    return run_case(*item, options)


def _ignore(_: int, __: Progress) -> None:
    """Show no progress within cases."""
