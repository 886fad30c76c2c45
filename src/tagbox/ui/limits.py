"""What the page takes, and how its refusals read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tagbox.audio.files import Audio, read
from tagbox.audio.readers import FileReader
from tagbox.errors import TagBoxError

LARGEST_RATE = 96_000
MOST_CHANNELS = 2
MOST_WORDS = 6


@dataclass(frozen=True)
class Limits:
    """Bounds of one recording.

    Attributes:
        seconds: the longest.
        megabytes: the largest file; a longer upload is cut off while it arrives.
        waiting: how many runs may wait for their turn.
    """

    seconds: float = 600.0
    megabytes: int = 100
    waiting: int = 16

    def __str__(self) -> str:
        minutes = self.seconds / 60
        length = f"{minutes:g} minutes" if minutes >= 2 else f"{self.seconds:g} s"
        return f"up to {length} and {self.megabytes} MB"

    def check(self, path: Path) -> None:
        """Refuse a file that is too large or, by its header, too long; nothing is decoded.

        Raises:
            TagBoxError: it is, or it is no recording.
        """
        if path.is_file() and path.stat().st_size > self.megabytes * 1_000_000:
            raise TagBoxError(f"{path} is larger than {self.megabytes} MB, the most that this page takes")
        found = FileReader.of(path)
        lasts = found.samples / found.rate
        if lasts > self.seconds:
            raise TagBoxError(
                f"{path} lasts {lasts:.0f} s, and this page takes {self.seconds:g} s at the most; give a "
                "shorter excerpt, or use the command line: tagbox separate"
            )
        if found.samples * found.channels > self.seconds * LARGEST_RATE * MOST_CHANNELS:
            raise TagBoxError(
                f"{path} has {found.channels} channels at {found.rate} Hz, more than this page holds at such "
                "a length; give a shorter excerpt or fewer channels"
            )

    def read(self, path: Path) -> Audio:
        """The recording, once it is known to be within the limits."""
        self.check(path)
        return read(path, 0.0, self.seconds)


def plain(error: TagBoxError, path: Path) -> str:
    """The error's line as the command line says it from within the recording's folder: no path of ours."""
    return str(error).replace(str(path), path.name).replace(f"{path.parent}/", "")


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Give an error of hearing, which names no file, the file's name."""
    try:
        yield
    except TagBoxError as error:
        raise TagBoxError(f"{path} {error}") from error
