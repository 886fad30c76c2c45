"""Songs: recordings that somebody asked the page to process, with their tracks and results.

Each has a folder of its own and a random token, by which pages and programs find it.
"""

import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Literal

from tagbox.errors import TagBoxError
from tagbox.methods.steering import OnStep
from tagbox.pipeline.streaming import OnSegment
from tagbox.projects import Project
from tagbox.ui.jobs import Job, JobQueue, State
from tagbox.ui.processing import JobRequest, JobResult, Process
from tagbox.ui.session_files import JobSignals
from tagbox.ui.tracks import Track

TOKEN = re.compile(r"[0-9a-f]{32}")
SongState = State | Literal["correcting"]
MOST_SONGS = 50
"""Of finished ones; beyond it, those that were not used for the longest time are removed."""
MOST_PROJECTS = 4
"""Of songs that can be corrected: those that were used last, since each is in memory as a whole."""
KEPT_SECONDS = 6 * 3600
PRUNE_INTERVAL_SECONDS = 600
RECORDINGS = "recording"
"""Name of the folder, inside a song's, of the recording where the song keeps its own copy."""


@dataclass(eq=False)
class Song:
    """One recording and what becomes of it.

    Attributes:
        token: by which it is found.
        title: the recording's name without its ending.
        request: what was asked for.
        folder: of its files.
        signals: to its job.
        job: that processes it.
        tracks: what there is to hear so far, the recording first.
        version: rises whenever samples that were there already have changed.
        mixer: how somebody left the mixer, as the page wrote it.
        used: when somebody last asked for it, on the clock of `time.monotonic`.
    """

    token: str
    title: str
    request: JobRequest
    folder: Path
    signals: JobSignals = field(default_factory=JobSignals)
    tracks: Sequence[Track] = ()
    version: int = 1
    mixer: Mapping[str, Any] = field(default_factory=dict)
    used: float = field(default_factory=time.monotonic)
    _job: Job[JobResult] | None = None
    _change: Job[JobResult] | None = None
    _result: JobResult | None = None

    @property
    def job(self) -> Job[JobResult]:
        """Return the job, which is there as soon as a library has the song."""
        assert self._job is not None
        return self._job

    @property
    def state(self) -> SongState:
        """Return how far the song is."""
        is_changing = self._change is not None and self._change.state in ("waiting", "running")
        return "correcting" if is_changing else self.job.state

    @property
    def error(self) -> BaseException | None:
        """Return why the song's job, or the last change to the song, failed."""
        return self.job.error or (None if self._change is None else self._change.error)

    @property
    def result(self) -> JobResult | None:
        """Return the result as it is now, once there is one."""
        if self._result is not None:
            return self._result
        return self.job.result() if self.job.state == "done" else None

    @property
    def project(self) -> Project | None:
        """Return what corrects the song, where it can be corrected."""
        return None if self.result is None else self.result.project

    def start(self, process: Process, queue: JobQueue) -> None:
        """Put the song's job into the queue.

        Raises:
            TagBoxError: too many jobs wait already.
        """
        work = partial(process, self.request, self.folder, self.set_tracks)
        self._job = Job(work, self.signals, queue)

    def change(self, work: Callable[[JobResult], JobResult], queue: JobQueue) -> None:
        """Put a change to the finished song into the queue.

        Args:
            work: makes the change to a result.
            queue: in which it waits.

        Raises:
            TagBoxError: the song is not done, or too many jobs wait already.
        """
        before = self.result
        if self.state != "done" or before is None:
            raise TagBoxError(f"{self.title} can be changed when its run has ended")

        def run(on_step: OnStep, on_segment: OnSegment) -> JobResult:
            self._result = work(before)
            return self._result

        self._change = Job(run, JobSignals(), queue)

    def set_tracks(self, tracks: Sequence[Track], is_changed: bool = False) -> None:
        """Replace what there is to hear; `is_changed` where what was heard before is different now."""
        self.version += is_changed
        self.tracks = tuple(tracks)

    def forget_project(self) -> None:
        """Free the memory of what corrects the song, which cannot be corrected then."""
        result = self.result
        if result is not None and result.project is not None:
            result.project.close()
            self._result = replace(result, project=None)

    def when_ended(self, act: Callable[[], None]) -> None:
        """Call `act` once nothing is computed for the song any more."""
        (self._change or self.job).when_ended(act)

    def find_track(self, name: str) -> Track:
        """Return the track with this name.

        Raises:
            TagBoxError: there is none.
        """
        found = next((track for track in self.tracks if track.name == name), None)
        if found is None:
            raise TagBoxError(f"{self.title} has no track {name!r}")
        return found

    def find_file(self, name: str) -> Path | None:
        """Return the file `name` of the song's folder; None where there is no such file."""
        if not self.folder.is_dir() or name not in {path.name for path in self.folder.iterdir()}:
            return None
        path = self.folder / name
        return path if path.is_file() and not path.is_symlink() else None

    def download_name(self, name: str) -> str:
        """Return the name that the file `name` has outside its folder: it begins with the song's title."""
        return f"{self.title} - {name}"


class SongLibrary:
    """The songs of all pages and programs, in folders inside `root`."""

    def __init__(self, root: Path, queue: JobQueue) -> None:
        self._root = root
        self._queue = queue
        self._songs: dict[str, Song] = {}
        self._lock = Lock()

    def new_folder(self) -> Path:
        """Return a path for the folder of a new song, which ends in the song's token."""
        return self._root / secrets.token_hex(16)

    def submit(
        self,
        request: JobRequest,
        process: Process,
        signals: JobSignals | None = None,
        folder: Path | None = None,
    ) -> Song:
        """Start a job on a new song.

        Args:
            request: what to do.
            process: what does it.
            signals: to the job, from whoever asks for it.
            folder: from `new_folder`; a new one unless given.

        Raises:
            TagBoxError: too many jobs wait already.
        """
        folder = folder or self.new_folder()
        song = Song(folder.name, request.path.stem, request, folder, signals or JobSignals())
        song.start(process, self._queue)
        with self._lock:
            self._songs[song.token] = song
        self.prune()
        return song

    def find(self, token: str) -> Song | None:
        """Return the song with this token, which counts as a use; None where there is none."""
        song = self._songs.get(token)
        if song is not None:
            song.used = time.monotonic()
        return song

    def remove(self, song: Song) -> None:
        """Cancel a song's job, and remove its files."""
        with self._lock:
            self._songs.pop(song.token, None)
        song.job.cancel()
        song.when_ended(lambda: _remove_files(song))

    def prune(self, most: int = MOST_SONGS, kept_seconds: float = KEPT_SECONDS) -> None:
        """Remove songs that nobody used for `kept_seconds`, and all but the `most` that were used last."""
        now = time.monotonic()
        ended = [song for song in list(self._songs.values()) if song.state in ("done", "failed", "cancelled")]
        by_use = sorted(ended, key=lambda song: -song.used)
        for place, song in enumerate(by_use):
            if place >= most or now - song.used > kept_seconds:
                self.remove(song)
        for song in [song for song in by_use if song.project is not None][MOST_PROJECTS:]:
            song.forget_project()

    def change(self, song: Song, work: Callable[[JobResult], JobResult]) -> None:
        """Put a change to a finished song into the queue.

        Raises:
            TagBoxError: the song is not done, or too many jobs wait already.
        """
        song.change(work, self._queue)

    def cancel_jobs(self) -> None:
        """Ask the jobs of all songs to end without a result."""
        for song in list(self._songs.values()):
            song.job.cancel()


@contextmanager
def pruned_regularly(library: SongLibrary, interval: float = PRUNE_INTERVAL_SECONDS) -> Iterator[None]:
    """Remove songs that nobody uses any more while the block lasts."""
    ended = Event()

    def prune() -> None:
        while not ended.wait(interval):
            library.prune()

    thread = Thread(target=prune, name="prune", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def _remove_files(song: Song) -> None:
    song.forget_project()
    shutil.rmtree(song.folder, ignore_errors=True)
