"""Tell what of an Ogg file libsndfile leaves out: what follows a first stream, or a page that is damaged.

Pages and their checksums: RFC 3533, section 6.
"""

import mmap
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CAPTURE = b"OggS"
_HEADER_BYTES = 27
_CHECKSUM = slice(22, 26)
_BEGINS_STREAM = 0x02

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits in the opposite order, in which zlib's CRC takes them."""

CHAINED = "several recordings follow one another in it, and to read all of them takes ffmpeg"
DAMAGED = "a page of it changed after it was written, and to read all others takes ffmpeg"


@dataclass(frozen=True)
class _Page:
    """A page: where it begins and ends, whether it begins a stream, and whether its checksum is right."""

    start: int
    stop: int
    begins_stream: bool
    intact: bool


def left_out(path: Path) -> str | None:
    """Say what of the Ogg file at `path` libsndfile does not decode; None where it decodes all.

    Streams side by side, such as sound and pictures, all begin before the first page of content; those of a
    chain, as recorders of radio stations write them, follow one another.
    """
    content = False
    stop = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for page in _pages(data):
            if page.start != stop or not page.intact:
                return DAMAGED
            if page.begins_stream and content:
                return CHAINED
            content = content or not page.begins_stream
            stop = page.stop
    return None


def _pages(data: mmap.mmap) -> Iterator[_Page]:
    """Yield the pages of a file, over whatever is between them; one that is cut off is none."""
    start = data.find(_CAPTURE)
    while start >= 0:
        header = data[start : start + _HEADER_BYTES]
        if len(header) < _HEADER_BYTES:
            return
        table = start + _HEADER_BYTES
        stop = table + header[26] + sum(data[table : table + header[26]])
        if stop > len(data) and data.find(_CAPTURE, start + 1) < 0:
            return
        intact = _checksum(data[start:stop]) == int.from_bytes(header[_CHECKSUM], "little")
        yield _Page(start, stop, bool(header[5] & _BEGINS_STREAM), intact)
        start = data.find(_CAPTURE, stop if intact else start + 1)


def _checksum(page: bytes) -> int:
    """Compute a page's CRC: zlib's polynomial with the bits in the opposite order, from 0."""
    blank = page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]
    crc = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
