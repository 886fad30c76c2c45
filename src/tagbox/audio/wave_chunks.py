"""Find and append chunks of WAVE files: RIFF, and RF64 where a file is larger than 4 GiB."""

import os
from collections.abc import Mapping
from pathlib import Path

MAX_RIFF_BYTES = 2**32 - 1
PEAK_TIME_OFFSET = 4
MAX_CHUNKS = 1000
"""Before the samples; a file of zeros would be millions of empty ones."""


def find_chunk(path: Path, name: bytes) -> int | None:
    """Return where the content of the chunk `name` of a WAVE file begins; None behind the samples."""
    with path.open("rb") as file:
        header = file.read(12)
        if header[:4] not in (b"RIFF", b"RF64", b"BW64") or header[8:] != b"WAVE":
            return None
        for _ in range(MAX_CHUNKS):
            chunk = file.read(8)
            if chunk[:4] == name and len(chunk) == 8:
                return file.tell()
            size = int.from_bytes(chunk[4:], "little")
            if len(chunk) < 8 or chunk[:4] == b"data":
                return None
            file.seek(size + size % 2, 1)
    return None


def data_bytes(path: Path) -> int | None:
    """Return how many bytes of samples the header of a WAVE file promises; None for other files."""
    position = find_chunk(path, b"data")
    if position is None:
        return None
    sizes = find_chunk(path, b"ds64")
    with path.open("rb") as file:
        if sizes is None:
            file.seek(position - 4)
            return int.from_bytes(file.read(4), "little")
        file.seek(sizes + 8)
        return int.from_bytes(file.read(8), "little")


def clear_peak_time(path: Path) -> None:
    """Clear the moment of writing that libsndfile adds to float files: equal samples give equal files."""
    position = find_chunk(path, b"PEAK")
    if position is not None:
        with path.open("r+b") as file:
            file.seek(position + PEAK_TIME_OFFSET)
            file.write(bytes(4))


def append_chunks(path: Path, chunks: Mapping[bytes, bytes]) -> None:
    """Append `chunks` by name to the WAVE file at `path`; nothing, where its size could not be told."""
    data = b"".join(
        name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)
        for name, content in chunks.items()
    )
    with path.open("r+b") as file:
        kind = file.read(4)
        end = file.seek(0, os.SEEK_END)
        data = bytes(end % 2) + data
        size = end + len(data) - 8
        if kind == b"RIFF" and size <= MAX_RIFF_BYTES:
            place, counted = 4, size.to_bytes(4, "little")
        elif kind == b"RF64" and (sizes := find_chunk(path, b"ds64")) is not None:
            place, counted = sizes, size.to_bytes(8, "little")
        else:
            return
        file.write(data)
        file.seek(place)
        file.write(counted)
