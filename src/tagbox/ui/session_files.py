"""The private folder with the files of all open pages, and who may read what in it.

Gradio serves every file in `uploads` to whoever knows its address. Results lie beside that folder, out of
Gradio's reach: the server's own route serves them by a random token and a file name, never by a path.
"""

import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

TOKEN = re.compile(r"[0-9a-f]{32}")


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
    """The files and jobs of one open page.

    Attributes:
        uploads: files that the page uploaded.
        signals: to the latest job of each tab, by the tab's key.
        results: folder of the latest results of each tab, by the tab's key.
    """

    uploads: set[Path] = field(default_factory=set)
    signals: dict[str, JobSignals] = field(default_factory=dict)
    results: dict[str, Path] = field(default_factory=dict)

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
    def results(self) -> Path:
        """The folder of results, which only the server's own route serves."""
        return self.root / "results"

    def create(self) -> None:
        """Create the inner folders, readable by their owner only."""
        for path in (self.uploads, self.results):
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

    def new_results(self, key: str, tab: str) -> Path:
        """Return a path for a new folder of results, and remove the previous results of this page's tab."""
        session = self.session(key)
        previous = session.results.pop(tab, None)
        if previous is not None:
            shutil.rmtree(previous, ignore_errors=True)
        session.results[tab] = self.results / secrets.token_hex(16)
        return session.results[tab]

    def find_result(self, token: str, name: str) -> Path | None:
        """Return the file `name` of the results with this token; None where there is no such file."""
        if not TOKEN.fullmatch(token):
            return None
        folder = self.results / token
        if not folder.is_dir() or name not in {path.name for path in folder.iterdir()}:
            return None
        path = folder / name
        return path if path.is_file() and not path.is_symlink() else None

    def close_session(self, key: str) -> None:
        """Cancel the jobs of a page that was closed, and remove its files unless other pages share them."""
        with self._lock:
            session = self.sessions.pop(key, None)
            if session is None:
                return
            session.cancel_jobs()
            shared = {path for other in self.sessions.values() for path in other.uploads}
        for path in session.uploads - shared:
            path.unlink(missing_ok=True)
        for path in session.results.values():
            shutil.rmtree(path, ignore_errors=True)

    def cancel_jobs(self) -> None:
        """Ask the jobs of all pages to end without a result."""
        for session in list(self.sessions.values()):
            session.cancel_jobs()
