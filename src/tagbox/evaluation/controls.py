r"""What a separation has to beat, and what bounds it.

Controls know nothing of the source: silence, the mixture itself, half of it, a random mask. (The residual of
an estimate is a control of that estimate alone, and stands beside it.) An estimate that does not beat all of
them has separated nothing, whatever its SDR. The ceiling is the ideal ratio mask, which looks at the answer:

.. math:: M = \frac{|S|^2}{|S|^2 + |X - S|^2}
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tagbox.audio.stft import istft, stft
from tagbox.evaluation.systems import Answer, Kind, Task

N_FFT = 2048


def silence(task: Task, word: str) -> Tensor:
    """Nothing."""
    return torch.zeros_like(task.mixture)


def mixture(task: Task, word: str) -> Tensor:
    """Everything."""
    return task.mixture


def half_mixture(task: Task, word: str) -> Tensor:
    """Everything, 6 dB down: the same SI-SDR, and mostly a better SDR."""
    return 0.5 * task.mixture


def random_mask(task: Task, word: str) -> Tensor:
    """Every bin of the STFT times a number between 0 and 1, drawn for this track and source."""
    key = "\0".join([str(task.seed), task.track, word, str(task.start)])
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7])
    spectrum = stft(_padded(task.mixture), N_FFT)
    mask = torch.rand(spectrum.shape, generator=torch.Generator().manual_seed(seed))
    return _samples(mask * spectrum, task.mixture)


def ideal_ratio_mask(task: Task, word: str) -> Tensor:
    """The ceiling: what a mask of this resolution can do, knowing the answer."""
    reference = task.references[word]
    own = stft(_padded(reference), N_FFT).abs().square()
    rest = stft(_padded(task.mixture - reference), N_FFT).abs().square()
    mask = own / (own + rest).clamp_min(torch.finfo(own.dtype).tiny)
    return _samples(mask * stft(_padded(task.mixture), N_FFT), task.mixture)


def _padded(signal: Tensor) -> Tensor:
    """At least one window long."""
    return torch.nn.functional.pad(signal, (0, max(0, N_FFT - signal.shape[-1])))


def _samples(spectrum: Tensor, like: Tensor) -> Tensor:
    samples = max(N_FFT, like.shape[-1])
    return istft(spectrum, N_FFT, samples)[..., : like.shape[-1]]


@dataclass(frozen=True)
class Control:
    """An estimate that takes no separating."""

    name: str
    estimate: Callable[[Task, str], Tensor]
    kind: Kind = "control"

    def describe(self) -> dict[str, Any]:
        return {}

    def answer(self, task: Task) -> Answer:
        return Answer({word: self.estimate(task, word) for word in task.references})


CONTROLS = (
    Control("silence", silence),
    Control("mixture", mixture),
    Control("half the mixture", half_mixture),
    Control("random mask", random_mask),
)
CEILING = Control("ideal ratio mask", ideal_ratio_mask, "ceiling")
RESIDUAL = "its residual"
"""How tables call the control that is the rest of the very estimate."""
