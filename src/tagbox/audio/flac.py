"""Keep libFLAC from believing a damaged FLAC header: what the frames say of themselves counts.

Where a header's block size is wrong, libFLAC puts the frames at wrong moments and fills the gaps with zeros;
where it says how many samples there are, libsndfile stops there. Header and frames: RFC 9639, sections 8.2
and 9.1.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tagbox.audio.containers import HEADER_BYTES, id3_bytes

_MARKER_BYTES = 8
"""The marker "fLaC", and the header of the first block, STREAMINFO."""
_FIELDS = 18
"""Bytes of STREAMINFO up to the checksum: sizes of blocks and frames, rate, channels, number of samples."""
_LENGTH_MASK = (1 << 36) - 1
_FRAME_HEADER_BYTES = 16
_MAX_BLOCKS = 1000
"""Of metadata; each picture is one."""


@dataclass(frozen=True)
class FlacHeader:
    """A header, and what is to stand in place of it.

    Attributes:
        samples: that it promises; 0 where it says nothing.
        position: in the file, of the bytes that are replaced.
        patch: these bytes: the block size that the first frame has, and no number of samples.
    """

    samples: int
    position: int
    patch: bytes


def read_header(path: Path) -> FlacHeader | None:
    """Read the header of the FLAC file at `path`; None where its first block is no STREAMINFO."""
    with path.open("rb") as file:
        start = id3_bytes(file.read(HEADER_BYTES)) + _MARKER_BYTES
        file.seek(start)
        fields = file.read(_FIELDS)
        file.seek(start - 4)
        if len(fields) < _FIELDS or file.read(1)[0] & 0x7F:
            return None
        block_size = _first_block_size(file, start - 4)
    sizes = fields[:4] if block_size is None else 2 * block_size.to_bytes(2)
    unknown_frame_sizes = bytes(6)
    patch = sizes + unknown_frame_sizes + fields[10:13] + bytes([fields[13] & 0xF0]) + bytes(4)
    return FlacHeader(int.from_bytes(fields[13:]) & _LENGTH_MASK, start, patch)


def _first_block_size(file: BinaryIO, position: int) -> int | None:
    """Return how many samples the first frame holds, if all frames but the last hold as many; else None.

    Args:
        file: a FLAC file.
        position: of the header of its first block of metadata.
    """
    for _ in range(_MAX_BLOCKS):
        file.seek(position)
        block = file.read(4)
        if len(block) < 4:
            return None
        position += 4 + int.from_bytes(block[1:])
        if block[0] & 0x80:
            break
    file.seek(position)
    return block_size_of(file.read(_FRAME_HEADER_BYTES))


def block_size_of(header: bytes) -> int | None:
    """Return the samples of the frame that begins with `header`; None where that is not sure.

    It is not for streams whose frames vary in size, and where the header's checksum is wrong.
    """
    if len(header) < _FRAME_HEADER_BYTES or header[:2] != b"\xff\xf8":
        return None
    size_code, rate_code = header[2] >> 4, header[2] & 15
    # The frame's number is written as UTF-8 writes a character.
    leading_ones = 8 - (header[4] ^ 0xFF).bit_length()
    end = 5 + max(0, leading_ones - 1)
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    written = int.from_bytes(header[end : end + size_bytes])
    end += size_bytes + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if size_code == 0 or end >= len(header) or _checksum(header[:end]) != header[end]:
        return None
    if size_bytes:
        size = written + 1
    elif size_code == 1:
        size = 192
    else:
        size = 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    return size if size < 1 << 16 else None


def _checksum(data: bytes) -> int:
    """Compute a frame header's CRC, of the polynomial x^8 + x^2 + x + 1."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ (0x107 if crc & 0x80 else 0)
    return crc
