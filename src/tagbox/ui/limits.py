"""Bounds on what the page accepts, and messages that do not reveal the server's folders."""

from dataclasses import dataclass
from pathlib import Path

from tagbox.audio.files import Audio, read
from tagbox.audio.readers import FileReader
from tagbox.errors import TagBoxError

MAX_RATE_HZ = 96_000
MAX_CHANNELS = 2
MAX_QUERIES = 6


@dataclass(frozen=True)
class Limits:
    """Bounds on recordings and on waiting jobs.

    Attributes:
        seconds: of the longest recording.
        megabytes: of the largest file; a larger upload is cut off while it arrives.
        waiting: how many jobs may wait for their turn.
    """

    seconds: float = 600.0
    megabytes: int = 100
    waiting: int = 16

    def __str__(self) -> str:
        minutes = self.seconds / 60
        length = f"{minutes:g} minutes" if minutes >= 2 else f"{self.seconds:g} s"
        return f"up to {length} and {self.megabytes} MB"

    def check_file(self, path: Path) -> None:
        """Refuse a file that is too large or, by its header, too long; nothing is decoded.

        Raises:
            TagBoxError: it is too large or too long, or it is not a recording.
        """
        if path.is_file() and path.stat().st_size > self.megabytes * 1_000_000:
            raise TagBoxError(f"{path} is larger than {self.megabytes} MB, the most that this page takes")
        header = FileReader.of(path)
        seconds = header.samples / header.rate
        if seconds > self.seconds:
            raise TagBoxError(
                f"{path} lasts {seconds:.0f} s, and this page takes {self.seconds:g} s at the most; give a "
                "shorter excerpt, or use the command line: tagbox separate"
            )
        if header.samples * header.channels > self.seconds * MAX_RATE_HZ * MAX_CHANNELS:
            raise TagBoxError(
                f"{path} has {header.channels} channels at {header.rate} Hz, more than this page can hold at "
                "such a length; give a shorter excerpt or fewer channels"
            )

    def read_file(self, path: Path) -> Audio:
        """Read a recording that is within the limits.

        Raises:
            TagBoxError: as `check_file`, or it cannot be decoded.
        """
        self.check_file(path)
        return read(path, 0.0, self.seconds)


def without_folder(error: TagBoxError, path: Path) -> str:
    """Return an error's message with the name of `path` in place of the path itself."""
    return str(error).replace(str(path), path.name).replace(f"{path.parent}/", "")
