"""Count the frames of an MPEG audio stream (mp3): its header may be absent, guessed, or of another file.

Frame header: ISO/IEC 11172-3 and 13818-3. Xing/Info and LAME tags, as encoders write them into the first
frame, promise a number of frames and say how many samples at both ends are not music.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tagbox.audio.containers import id3_bytes

_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Sample rates in Hz by the header's version bits: MPEG-1, MPEG-2, MPEG-2.5."""

_KBITS = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by (MPEG-1, layer) and the header's bit rate index."""

DECODER_DELAY = 529
"""Samples that every decoder's filter bank adds before the encoder's own delay."""

MAX_GARBAGE_BYTES = 1 << 16
"""As many bytes that are no frame are skipped in search of the next one."""


Bytes = bytes | mmap.mmap


@dataclass(frozen=True)
class Frame:
    """One frame: where it begins, its length in bytes, and its samples for each channel."""

    offset: int
    size: int
    samples: int


@dataclass(frozen=True)
class MpegStream:
    """What an MPEG stream holds.

    Attributes:
        spans: of bytes (start, stop) that hold frames with audio. An Info frame holds none, be it the first
            one, or that of a file that was appended to another.
        missing: bytes that the last frame lacks.
        frames: with audio.
        samples: that they decode to.
        promised: frames that the Xing or Info tag speaks of; None where there is none.
        delay: samples at the beginning that are no music; None where no LAME tag says so.
        padding: samples at the end that are no music.
    """

    spans: tuple[tuple[int, int], ...]
    missing: int
    frames: int
    samples: int
    promised: int | None
    delay: int | None
    padding: int

    @property
    def is_intact(self) -> bool:
        """Whether the stream is what its own tag promises, frame after frame."""
        return self.promised == self.frames and not self.missing and len(self.spans) == 1


def read_stream(path: Path) -> MpegStream | None:
    """Walk the frames of the file at `path`; None where it holds none."""
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            return None  # an empty file
        with data:
            return _walk(data)


def _walk(data: Bytes) -> MpegStream | None:
    frames = _frames(data)
    first = next(frames, None)
    if first is None:
        return None
    promised, delay, padding = _info_tag(data, first)
    spans: list[tuple[int, int]] = []
    count = samples = 0
    last = first
    for frame in chain([first], frames):
        last = frame
        if _tag_position(data, frame) is not None:
            continue
        count += 1
        samples += frame.samples
        if spans and spans[-1][1] == frame.offset:
            spans[-1] = (spans[-1][0], frame.offset + frame.size)
        else:
            spans.append((frame.offset, frame.offset + frame.size))
    missing = max(0, last.offset + last.size - len(data))
    if missing and spans:
        spans[-1] = (spans[-1][0], spans[-1][1] - missing)
    return MpegStream(tuple(spans), missing, count, samples, promised, delay, padding)


def _frames(data: Bytes) -> Iterator[Frame]:
    """Yield the frames of `data`, over tags and garbage between them."""
    position = id3_bytes(data[:10])
    searched = 0
    while position + 4 <= len(data):
        frame = _frame_at(data, position)
        # Two frames in a row are one; a single sync word may be garbage, unless it is the last.
        if frame is None or (searched and not _is_followed(data, frame)):
            tag = id3_bytes(data[position : position + 10])
            position += tag or 1
            searched += 0 if tag else 1
            if searched > MAX_GARBAGE_BYTES:
                return
            continue
        searched = 0
        yield frame
        position = frame.offset + frame.size


def _is_followed(data: Bytes, frame: Frame) -> bool:
    end = frame.offset + frame.size
    return end + 4 > len(data) or _frame_at(data, end) is not None


def _frame_at(data: Bytes, offset: int) -> Frame | None:
    header = data[offset : offset + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate_index, kbits_index = header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or layer == 4 or rate_index == 3 or kbits_index in (0, 15):
        return None
    rate = _RATES[version][rate_index]
    bits = 1000 * _KBITS[version == 3, layer][kbits_index]
    padding = header[2] >> 1 & 1
    if layer == 1:
        return Frame(offset, (12 * bits // rate + padding) * 4, 384)
    samples = 1152 if layer == 2 or version == 3 else 576
    return Frame(offset, samples // 8 * bits // rate + padding, samples)


def _tag_position(data: Bytes, frame: Frame) -> int | None:
    """Return where in `data` the Xing or Info tag of a frame begins; None where it has none."""
    # It stands behind the side information, 9 to 32 bytes long.
    beginning = data[frame.offset : frame.offset + 44]
    position = max(beginning.find(b"Xing", 4), beginning.find(b"Info", 4))
    return None if position < 0 else frame.offset + position


def _info_tag(data: Bytes, frame: Frame) -> tuple[int | None, int | None, int]:
    """Read a Xing or Info tag: frames that it promises, and a LAME tag's delay and padding in samples."""
    position = _tag_position(data, frame)
    if position is None:
        return None, None, 0
    flags = int.from_bytes(data[position + 4 : position + 8], "big")
    field = position + 8
    promised = int.from_bytes(data[field : field + 4], "big") if flags & 1 else 0
    for flag, size in ((1, 4), (2, 4), (4, 100), (8, 4)):
        field += size if flags & flag else 0
    lame = data[field : field + 24]
    if len(lame) < 24 or lame[:4] not in (b"LAME", b"Lavc", b"Lavf"):
        return promised, None, 0
    ends = int.from_bytes(lame[21:24], "big")
    return promised, ends >> 12, ends & 0xFFF
