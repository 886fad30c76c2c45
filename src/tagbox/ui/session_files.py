"""The private folder with the files of all open pages, and who may read what in it.

Gradio serves every file in `uploads` to whoever knows its address. Songs lie beside that folder, out of
Gradio's reach: the server's own routes serve them by a random token and a file name, never by a path.
"""

import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock


@dataclass(frozen=True)
class JobSignals:
    """Requests to a job that runs in another thread.

    Attributes:
        stop: end after the current step and keep the result so far.
        cancel: end after the current step without a result.
    """

    stop: Event = field(default_factory=Event)
    cancel: Event = field(default_factory=Event)


@dataclass
class PageSession:
    """The uploads and jobs of one open page.

    Attributes:
        uploads: files that the page uploaded.
        signals: to the latest job of each tab, by the tab's key.
    """

    uploads: set[Path] = field(default_factory=set)
    signals: dict[str, JobSignals] = field(default_factory=dict)

    def cancel_jobs(self) -> None:
        """Ask every job of the page to end without a result."""
        for signals in list(self.signals.values()):
            signals.cancel.set()


@dataclass
class SessionFolder:
    """A folder for the files of all open pages.

    Attributes:
        root: created by the caller, who removes it at the end.
        sessions: by the key that Gradio gives each open page.
    """

    root: Path
    sessions: dict[str, PageSession] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def uploads(self) -> Path:
        """The folder of uploads, which Gradio serves."""
        return self.root / "uploads"

    @property
    def songs(self) -> Path:
        """The folder of songs, which only the server's own routes serve."""
        return self.root / "songs"

    def create(self) -> None:
        """Create the inner folders, readable by their owner only."""
        for path in (self.uploads, self.songs):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def session(self, key: str) -> PageSession:
        """Return the session of the page with this key, a new one for a page not seen before."""
        with self._lock:
            return self.sessions.setdefault(key, PageSession())

    def copy_upload(self, source: Path, name: str) -> Path:
        """Copy `source` into the folder of uploads, as if it had been uploaded as `name`."""
        path = self.uploads / secrets.token_hex(16) / name
        path.parent.mkdir(mode=0o700)
        shutil.copyfile(source, path)
        return path

    def close_session(self, key: str) -> None:
        """Cancel the jobs of a page that was closed, and remove its uploads unless other pages share them."""
        with self._lock:
            session = self.sessions.pop(key, None)
            if session is None:
                return
            session.cancel_jobs()
            shared = {path for other in self.sessions.values() for path in other.uploads}
        for path in session.uploads - shared:
            path.unlink(missing_ok=True)
