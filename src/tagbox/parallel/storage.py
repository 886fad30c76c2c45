"""Storage that all machines see, such as S3: recordings and results at addresses instead of paths.

Nothing computes on an address. A recording is copied into a temporary folder of the machine that works on
it, and finished results from there to their address, run.json last: what it describes is there.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from tagbox.audio.validation import STORAGE_PROTOCOLS
from tagbox.errors import (
    FailedWriteError,
    MachineError,
    TagBoxError,
    UnreadableRecordingError,
    UnwritableOutputError,
)
from tagbox.temporary_files import PREFIX, temporary_folder

PACKAGES = {"s3": "'tagbox[s3]'", "gs": "gcsfs", "abfs": "adlfs"}
"""What pip installs for a protocol."""
OPTIONS: dict[str, dict[str, Any]] = {
    # Who works for hours notices a server that is gone, and asks a few times before.
    "s3": {
        "config_kwargs": {
            "connect_timeout": 10,
            "read_timeout": 30,
            "retries": {"total_max_attempts": 3, "mode": "standard"},
        }
    }
}
"""Of the file systems of fsspec, by protocol."""
MAX_TRIES = 2
"""Of a request, where a file system counts them itself, beside those of the library below it."""
_ADDRESS = re.compile(rf"({'|'.join(STORAGE_PROTOCOLS)}):/+(.*[^/])/*")
_CREDENTIALS = re.compile("credential", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class Address:
    """A file or folder on such storage: as much of what a `Path` can do as recordings and results need.

    Attributes:
        text: the address, without a slash at its end.
    """

    text: str

    def __str__(self) -> str:
        """Return it as it is given."""
        return self.text

    def __truediv__(self, path: str | PurePath) -> "Address":
        """Return the address of what is below it."""
        return Address(f"{self.text}/{PurePath(path).as_posix()}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.text.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return PurePosixPath(self.name).stem

    def exists(self) -> bool:
        """Return whether there is a file or a folder."""
        return self.info() is not None

    def is_file(self) -> bool:
        """Return whether there is a file."""
        info = self.info()
        return info is not None and info["type"] == "file"

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return what a file has.

        Raises:
            FileNotFoundError: there is none.
        """
        with _answering(self, missing_is_fault=False):
            files, path = _open(self)
            text: bytes = files.cat_file(path)
        return text.decode(encoding)

    def unlink(self) -> None:
        """Remove a file."""
        with _answering(self, writes=True):
            files, path = _open(self)
            files.rm_file(path)

    def info(self) -> dict[str, Any] | None:
        """Return what the storage knows of a file or folder; None where there is none."""
        try:
            with _answering(self, missing_is_fault=False):
                files, path = _open(self)
                known: dict[str, Any] = files.info(path)
                return known
        except FileNotFoundError:
            return None

    def version(self) -> str:
        """Return what changes when the file does, without reading it.

        Raises:
            UnreadableRecordingError: there is no such file.
        """
        known = self.info()
        if known is None:
            raise UnreadableRecordingError(f"there is no file {self}; check the bucket and the spelling")
        # Others than S3 have other names for it.
        marks = (known.get("ETag"), known.get("etag"), known.get("md5Hash"), known.get("mtime"))
        return f"{known.get('size')} {next((str(mark) for mark in marks if mark), '')}".replace('"', "")

    def below(self) -> list[tuple["Address", PurePath]]:
        """Return all files below it, in alphabetical order, with their paths from here."""
        with _answering(self):
            files, path = _open(self)
            found = {name: PurePosixPath(name).relative_to(path) for name in files.find(path)}
        # The name as it is may have two slashes, which no path has.
        below = ((Address(f"{self.protocol}://{name}"), each) for name, each in found.items() if each.parts)
        return sorted(below, key=lambda each: each[1])

    def matches(self) -> list["Address"]:
        """Return the files that match it, and those in folders that do, in alphabetical order.

        * and ? stand for letters, ** for folders.
        """
        with _answering(self):
            files, path = _open(self)
            found = files.glob(path, detail=True)
        at = {Address(f"{self.protocol}://{name}"): known["type"] for name, known in found.items()}
        matching = {address for address, kind in at.items() if kind == "file"}
        if "**" not in path.split("/"):
            folders = [address for address, kind in at.items() if kind == "directory"]
            matching |= {address for folder in folders for address, _ in folder.below()}
        return sorted(matching)

    def fetch(self, path: Path) -> None:
        """Copy a file to `path`.

        Raises:
            UnreadableRecordingError: there is no such file.
        """
        with _answering(self):
            files, name = _open(self)
            files.get_file(name, str(path))

    def send(self, path: Path) -> None:
        """Copy the file at `path` to it."""
        with _answering(self, writes=True):
            files, name = _open(self)
            files.put_file(str(path), name)

    def check_writable(self) -> None:
        """Check that files can be written below it.

        Raises:
            TagBoxError: that is impossible; says why.
        """
        with _answering(self, writes=True):
            files, path = _open(self / f"{PREFIX}check")
            files.pipe_file(path, b"")
            with suppress(PermissionError):  # of storage that keeps all
                files.rm_file(path)

    @property
    def protocol(self) -> str:
        """What stands before the colon."""
        return self.text.partition(":")[0]


Place = Path | Address
"""Of a recording or of results."""


def as_place(given: Path) -> Place:
    """Return an address where `given` is one, which a `Path` has taken a slash from.

    >>> str(as_place(Path("s3://bucket/songs/"))), str(as_place(Path("songs/s3.wav")))
    ('s3://bucket/songs', 'songs/s3.wav')
    """
    match = _ADDRESS.fullmatch(str(given))
    return given if match is None or os.path.lexists(given) else Address(f"{match[1]}://{match[2]}")


def size_of(place: Place) -> int:
    """Return the size of a file in bytes, 0 where there is none.

    Raises:
        OSError: a path cannot be looked at.
    """
    if isinstance(place, Path):
        return place.stat().st_size
    return int((place.info() or {}).get("size") or 0)


@contextmanager
def fetched(recording: Address) -> Iterator[Path]:
    """Yield the path of a copy of a file, of the same name, which is removed at the end.

    Raises:
        UnreadableRecordingError: there is no such file.
    """
    with temporary_folder(Path(tempfile.gettempdir())) as folder:
        path = folder / recording.name
        recording.fetch(path)
        yield path


@contextmanager
def results_folder(place: Place, last: str) -> Iterator[Path]:
    """Yield a folder for results; if the block ends without an error, they are at `place`.

    Args:
        place: of the results. A path is the folder itself.
        last: the name of the file that describes the others.
    """
    if isinstance(place, Path):
        yield place
        return
    with temporary_folder(Path(tempfile.gettempdir())) as temporary:
        folder = temporary / (place.name or "results")
        yield folder
        files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != last)
        # Nothing may describe files of another run, whatever ends this halfway.
        if (place / last).exists():
            (place / last).unlink()
        for path in [*files, folder / last]:
            (place / path.name).send(path)


def _open(address: Address) -> tuple[Any, str]:
    """Return the file system of fsspec for an address, and its name there.

    Raises:
        TagBoxError: a package is missing.
    """
    try:
        import fsspec

        # Other programs write there, too: what was listed once is asked for again.
        options = {"use_listings_cache": False, **OPTIONS.get(address.protocol, {})}
        files, path = fsspec.url_to_fs(address.text, **options)
    except ImportError as error:
        raise TagBoxError(
            f"{address} needs a package that is not installed here: pip install {PACKAGES[address.protocol]}"
        ) from error
    if hasattr(files, "retries"):
        files.retries = MAX_TRIES
    return files, path


@contextmanager
def _answering(address: Address, writes: bool = False, missing_is_fault: bool = True) -> Iterator[None]:
    """Tell what storage answers in the block in a line.

    Args:
        address: that is asked for.
        writes: whether something is to be written.
        missing_is_fault: otherwise a FileNotFoundError is raised as it is.

    Raises:
        TagBoxError: there is no such file, or access is denied.
        MachineError: nobody answers, or with a fault.
    """
    try:
        yield
    except TagBoxError:
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError) and not missing_is_fault:
            raise
        raise _fault(address, error, writes) from error


def _fault(address: Address, error: Exception, writes: bool) -> TagBoxError:
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if _CREDENTIALS.search(type(error).__name__):
        where = "; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if address.protocol == "s3" else ""
        return TagBoxError(f"{address} needs credentials, and there are none here ({reason}){where}")
    if isinstance(error, FileNotFoundError):
        if writes:
            return UnwritableOutputError(f"{address} cannot be written ({reason}); make the bucket first")
        return UnreadableRecordingError(f"there is no file {address}; check the bucket and the spelling")
    if isinstance(error, PermissionError):
        if writes:
            return FailedWriteError(f"{address} cannot be written ({reason}); check the rights there")
        return UnreadableRecordingError(f"{address} cannot be read ({reason}); check the rights there")
    return MachineError(f"{address} cannot be {'written' if writes else 'read'} ({reason})")
