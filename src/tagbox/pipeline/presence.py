"""Measure when each source sounds: its part of the energy, span by span of the recording."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

MAX_SPANS = 600
"""However long a recording is, so that run.json stays small."""
SILENCE = 1e-9
"""Part of the energy of the loudest span up to which another is silence, where tracks hold rounding only."""


class PresenceMeter:
    """Adds up the energy of tracks in spans of at least a second."""

    def __init__(self, tracks: int, rate: int, samples: int) -> None:
        """Prepare for `tracks` signals of `samples` samples at `rate` Hz."""
        self._rate = rate
        self._span = max(rate, math.ceil(samples / MAX_SPANS))
        self._energies = torch.zeros(tracks, math.ceil(samples / self._span), dtype=torch.float64)
        self._position = 0

    def add(self, block: Tensor) -> None:
        """Add what follows, (tracks, channels, samples)."""
        begin, stop = self._position, self._position + block.shape[-1]
        first, last = begin // self._span, math.ceil(stop / self._span)
        filled = functional.pad(block, (begin - first * self._span, last * self._span - stop))
        energies = filled.reshape(*block.shape[:2], last - first, self._span).square().sum(dim=(1, 3))
        self._energies[:, first:last] += energies.cpu()
        self._position = stop

    def parts(self) -> Tensor:
        """Return each track's part of the energy of all tracks, 0 in silence: (tracks, spans)."""
        energy = self._energies.sum(dim=0)
        sounds = energy > SILENCE * energy.max()
        return torch.where(sounds, self._energies / energy.where(sounds, 1), 0)

    def describe(self, names: Sequence[str]) -> dict[str, Any]:
        """Return for run.json the seconds of a span, and by name the parts of the tracks in every span."""
        parts = {
            name: [round(part, 3) for part in own.tolist()]
            for name, own in zip(names, self.parts(), strict=True)
        }
        return {"seconds": round(self._span / self._rate, 6), "parts": parts}
