"""Mix the tracks of a song as a mixer is set, into one file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from tagbox.atomic_files import write_atomically
from tagbox.audio.files import SUBTYPES, Bits, append_samples, close_written, peak, quantise
from tagbox.audio.metadata import Metadata, write_metadata
from tagbox.errors import TagBoxError
from tagbox.ui.tracks import Track

BLOCK_SAMPLES = 1 << 18
MAX_GAIN = 16.0


@dataclass(frozen=True)
class Level:
    """How loud a track is in a mix.

    Attributes:
        gain: factor of its samples.
        pan: -1 to 1; to one side, the other side's channel is quieter by that share. At 0, nothing changes.
    """

    gain: float = 1.0
    pan: float = 0.0

    def gains(self, channels: int) -> Tensor:
        """Return the factor of each channel, (channels, 1); panning is for two channels or one."""
        if channels != 2:
            return torch.full((channels, 1), self.gain)
        return torch.tensor([[min(1.0, 1 - self.pan)], [min(1.0, 1 + self.pan)]]) * self.gain


def parse_levels(values: Any, tracks: Sequence[Track]) -> dict[str, Level]:
    """Check the levels of a mix, by track: {"violin": {"gain": 0.5, "pan": -1}}.

    Raises:
        TagBoxError: a track does not exist, or a number is missing its range.
    """
    names = [track.name for track in tracks]
    if not isinstance(values, Mapping) or not values:
        raise TagBoxError('a mix names its tracks, as in {"violin": {"gain": 1, "pan": 0}}')
    levels = {}
    for name, given in values.items():
        if name not in names:
            raise TagBoxError(f"there is no track {name!r} to mix; there are {', '.join(names)}")
        given = given if isinstance(given, Mapping) else {}
        try:
            level = Level(float(given.get("gain", 1)), float(given.get("pan", 0)))
        except (TypeError, ValueError) as error:
            raise TagBoxError(f"the gain and the pan of {name} are numbers") from error
        if not (0 <= level.gain <= MAX_GAIN and -1 <= level.pan <= 1):
            raise TagBoxError(f"{name} can have a gain from 0 to {MAX_GAIN:g} and a pan from -1 to 1")
        levels[name] = level
    return levels


def mix_blocks(tracks: Sequence[Track], levels: Mapping[str, Level]) -> Iterator[Tensor]:
    """Yield the mix front to back, (channels, samples) float64; tracks without a level are left out.

    A mono track that is panned is heard on two channels, and so is the mix then.
    """
    chosen = [track for track in tracks if track.name in levels]
    channels = max(track.channels for track in chosen)
    if channels == 1 and any(levels[track.name].pan for track in chosen):
        channels = 2
    length = min(track.ready for track in chosen)
    for start in range(0, length, BLOCK_SAMPLES):
        stop = min(start + BLOCK_SAMPLES, length)
        mix = torch.zeros(channels, stop - start, dtype=torch.float64)
        for track in chosen:
            samples = torch.from_numpy(np.ascontiguousarray(track.read(start, stop).T)).double()
            if len(samples) < channels:
                samples = samples[:1].expand(channels, -1)
            mix += samples * levels[track.name].gains(channels)
        yield mix


def save_mix(
    tracks: Sequence[Track],
    levels: Mapping[str, Level],
    path: Path,
    bits: str,
    metadata: Metadata | None = None,
) -> Path:
    """Write a mix to `path`; a mix above full scale goes to a wav file with float samples in its place.

    Returns:
        the file that was written.

    Raises:
        TagBoxError: the tracks of the mix have different sample rates.
        UnwritableOutputError: the folder cannot be written.
    """
    import soundfile

    rates = {track.rate for track in tracks if track.name in levels}
    if len(rates) != 1:
        raise TagBoxError("tracks of different sample rates cannot be mixed")
    loudest, channels = 0.0, 1
    for block in mix_blocks(tracks, levels):
        loudest, channels = max(loudest, peak(block)), len(block)
    if bits != "float" and loudest > 1:
        path, bits = path.with_suffix(".wav"), "float"
    depth = cast(Bits, bits)
    format = path.suffix.lstrip(".").upper()
    with write_atomically(path, force=True) as temporary:
        with soundfile.SoundFile(
            str(temporary), "w", rates.pop(), channels, SUBTYPES[depth], format=format
        ) as file:
            for block in mix_blocks(tracks, levels):
                append_samples(file, quantise(block, depth, path).T, path)
            close_written(file, path)
        if metadata is not None:
            write_metadata(temporary, metadata)
    return path
