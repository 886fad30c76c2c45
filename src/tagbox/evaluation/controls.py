r"""Controls, which a separation has to beat, and the ceiling, which bounds it.

Controls know nothing of the source: silence, the mixture, half of the mixture, a random mask. (The residual
of an estimate is a control for that estimate only, and is measured beside it.) An estimate that does not beat
every control has separated nothing, whatever its SDR. The ceiling is the ideal ratio mask, computed from the
true source S and the mixture X:

.. math:: M = \frac{|S|^2}{|S|^2 + |X - S|^2}
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tagbox.audio.resampling import pad_or_trim
from tagbox.audio.stft import istft, stft
from tagbox.evaluation.systems import SystemInput, SystemKind, SystemOutput

N_FFT = 2048


def silence(excerpt: SystemInput, query: str) -> Tensor:
    """Return silence."""
    return torch.zeros_like(excerpt.mixture)


def mixture(excerpt: SystemInput, query: str) -> Tensor:
    """Return the mixture itself."""
    return excerpt.mixture


def half_mixture(excerpt: SystemInput, query: str) -> Tensor:
    """Return the mixture 6 dB quieter: the same SI-SDR as the mixture's, and mostly a better SDR."""
    return 0.5 * excerpt.mixture


def random_mask(excerpt: SystemInput, query: str) -> Tensor:
    """Apply a mask that is uniformly random between 0 and 1, drawn for this excerpt and source."""
    key = "\0".join([str(excerpt.seed), excerpt.track, query, str(excerpt.start)])
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7])
    spectrum = _spectrum(excerpt.mixture)
    mask = torch.rand(spectrum.shape, generator=torch.Generator().manual_seed(seed))
    return _audio(mask * spectrum, excerpt.mixture.shape[-1])


def ideal_ratio_mask(excerpt: SystemInput, query: str) -> Tensor:
    """Apply the ideal ratio mask: the best that a mask of this resolution can do, given the true source."""
    reference = excerpt.references[query]
    source_power = _spectrum(reference).abs().square()
    other_power = _spectrum(excerpt.mixture - reference).abs().square()
    mask = source_power / (source_power + other_power).clamp_min(torch.finfo(source_power.dtype).tiny)
    return _audio(mask * _spectrum(excerpt.mixture), excerpt.mixture.shape[-1])


def _spectrum(signal: Tensor) -> Tensor:
    """Compute the STFT of `signal` (..., samples), padded to at least one window."""
    return stft(pad_or_trim(signal, max(N_FFT, signal.shape[-1])), N_FFT)


def _audio(spectrum: Tensor, samples: int) -> Tensor:
    """Compute the inverse of `_spectrum`, (..., samples)."""
    return istft(spectrum, N_FFT, max(N_FFT, samples))[..., :samples]


@dataclass(frozen=True)
class Control:
    """A system that estimates sources without separating them."""

    name: str
    estimate: Callable[[SystemInput, str], Tensor]
    kind: SystemKind = "control"

    def describe(self) -> dict[str, Any]:
        """Return nothing: the name says everything."""
        return {}

    def separate(self, excerpt: SystemInput) -> SystemOutput:
        """Estimate each source."""
        return SystemOutput({query: self.estimate(excerpt, query) for query in excerpt.references})


CONTROLS = (
    Control("silence", silence),
    Control("mixture", mixture),
    Control("half the mixture", half_mixture),
    Control("random mask", random_mask),
)
CEILING = Control("ideal ratio mask", ideal_ratio_mask, "ceiling")
RESIDUAL = "its residual"
"""How tables call the control that is the residual of the estimate itself."""
