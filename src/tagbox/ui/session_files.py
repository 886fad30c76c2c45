"""The private folder that everything of the page lives in, and who may have what of it.

Gradio serves what lies in `uploads` to whoever knows its address. Results lie beside it, out of its reach,
and are served by an address of our own that is a random token and a name, never a path.
"""

import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Signals:
    """How a run is told to stop and keep what it has, or to be gone."""

    stop: Event = field(default_factory=Event)
    cancel: Event = field(default_factory=Event)


@dataclass
class Session:
    """What one open page has: its uploads, and by tab the signals to the last run and its results."""

    uploads: set[Path] = field(default_factory=set)
    signals: dict[str, Signals] = field(default_factory=dict)
    results: dict[str, Path] = field(default_factory=dict)

    def cancel(self) -> None:
        """Tell every run to be gone."""
        for signals in list(self.signals.values()):
            signals.cancel.set()


@dataclass
class Folder:
    """A folder of this server alone, with the sessions that have files in it.

    Attributes:
        root: made by the caller, who removes it at the end.
        sessions: by the key that Gradio gives each open page.
    """

    root: Path
    sessions: dict[str, Session] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def uploads(self) -> Path:
        return self.root / "uploads"

    @property
    def results(self) -> Path:
        return self.root / "results"

    def prepare(self) -> None:
        """Make the inner folders, for the owner alone."""
        for path in (self.uploads, self.results):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def session(self, key: str) -> Session:
        """The session of an open page, new where it is seen for the first time."""
        with self._lock:
            return self.sessions.setdefault(key, Session())

    def new_upload(self, source: Path, name: str) -> Path:
        """A copy of `source` as if it had been uploaded as `name`."""
        path = self.uploads / secrets.token_hex(16) / name
        path.parent.mkdir(mode=0o700)
        shutil.copyfile(source, path)
        return path

    def new_results(self, key: str, tab: str) -> Path:
        """A folder that does not exist yet, in place of the last results of this tab, which are removed."""
        session = self.session(key)
        old = session.results.pop(tab, None)
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
        session.results[tab] = self.results / secrets.token_hex(16)
        return session.results[tab]

    def result(self, token: str, name: str) -> Path | None:
        """The file `name` of the results `token`, if there is one; nothing else can be asked for."""
        if not TOKEN.fullmatch(token):
            return None
        folder = self.results / token
        if not folder.is_dir() or name not in {path.name for path in folder.iterdir()}:
            return None
        path = folder / name
        return path if path.is_file() and not path.is_symlink() else None

    def leave(self, key: str) -> None:
        """Stop what a closed page was running, and remove what it had."""
        with self._lock:
            session = self.sessions.pop(key, None)
            if session is None:
                return
            session.cancel()
            shared = {path for other in self.sessions.values() for path in other.uploads}
        for path in session.uploads - shared:
            path.unlink(missing_ok=True)
        for path in session.results.values():
            shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Ask every run to stop."""
        for session in list(self.sessions.values()):
            session.cancel()
