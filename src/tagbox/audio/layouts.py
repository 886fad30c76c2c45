"""Order channels as WAVE files do, and name the speakers that they belong to.

Vorbis and Opus have an order of their own (Vorbis I specification, 4.3.9); everything else that is read here
has that of WAVE_FORMAT_EXTENSIBLE, whose mask has one bit for each speaker.
"""

from pathlib import Path

from tagbox.audio.wave_chunks import find_chunk

_VORBIS_ORDER = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
"""For each number of channels: where in a Vorbis or Opus stream each channel of a WAVE file stands."""

DEFAULT_MASKS = {1: 0x4, 2: 0x3, 3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
"""Masks of the usual layouts: front, then centre, low frequencies, back and sides."""

_LAYOUT_MASKS = {
    "2.1": 0xB, "3.0": 0x7, "3.0(back)": 0x103, "4.0": 0x107, "quad": 0x33, "quad(side)": 0x603, "3.1": 0xF,
    "5.0": 0x37, "5.0(side)": 0x607, "4.1": 0x10F, "5.1": 0x3F, "5.1(side)": 0x60F, "6.0": 0x707,
    "6.1": 0x70F, "7.0": 0x637, "7.1": 0x63F, "7.1(wide)": 0xFF, "octagonal": 0x737,
}  # fmt: skip
"""ffmpeg's names of layouts; within each, its channels are in the order of the mask's bits."""

_EXTENSIBLE = 0xFFFE


def vorbis_to_wave(channels: int) -> tuple[int, ...] | None:
    """Return the stream's channel for each channel of a WAVE file; None where the two orders are the same."""
    return _VORBIS_ORDER.get(channels)


def layout_mask(name: str, channels: int) -> int | None:
    """Return the mask of the layout that ffmpeg calls `name`; None for mono, stereo and unknown names."""
    mask = _LAYOUT_MASKS.get(name)
    return mask if mask is not None and mask.bit_count() == channels else None


def wave_mask(path: Path) -> int | None:
    """Read the channel mask of a WAVE_FORMAT_EXTENSIBLE file; None where it has none."""
    position = find_chunk(path, b"fmt ")
    if position is None:
        return None
    with path.open("rb") as file:
        file.seek(position)
        fields = file.read(24)
    if len(fields) < 24 or int.from_bytes(fields[:2], "little") != _EXTENSIBLE:
        return None
    return int.from_bytes(fields[20:24], "little") or None


def set_wave_mask(path: Path, mask: int) -> None:
    """Set the channel mask of the WAVE_FORMAT_EXTENSIBLE file at `path`; other files stay as they are."""
    position = find_chunk(path, b"fmt ")
    if position is None:
        return
    with path.open("r+b") as file:
        file.seek(position)
        if int.from_bytes(file.read(2), "little") == _EXTENSIBLE:
            file.seek(position + 20)
            file.write(mask.to_bytes(4, "little"))
