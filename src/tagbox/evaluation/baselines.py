"""Separation without learning, by librosa: what the paper compares with where no training data are used.

HPSS (Fitzgerald 2010, with the margins of Driedger et al. 2014 at 1): drums are the percussive part, any
other source the harmonic part. REPET-SIM (Rafii and Pardo 2012): what is not like the most similar frames
elsewhere is the foreground; drums and bass are the background, any other source the foreground. The paper
gives HPSS for drums and REPET-SIM for vocals only; the other rows are ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.evaluation.systems import Answer, Kind, Task, fit

N_FFT, HOP = 2048, 512
APART_SECONDS = 2.0
"""Frames nearer than this are no repetition."""
REPEATING = ("drums", "bass")

Spectrum = NDArray[np.complexfloating[Any, Any]]


def hpss(task: Task, word: str) -> Tensor:
    """The percussive part for drums, else the harmonic one."""
    librosa = _librosa()

    def part(spectrum: Spectrum) -> Spectrum:
        harmonic, percussive = librosa.decompose.hpss(spectrum)
        chosen: Spectrum = percussive if word == "drums" else harmonic
        return chosen

    return _each_channel(task.mixture, part)


def repet_sim(task: Task, word: str) -> Tensor:
    """The repeating background for drums and bass, else the foreground."""
    librosa = _librosa()
    width = max(1, int(librosa.time_to_frames(APART_SECONDS, sr=task.rate, hop_length=HOP)))

    def part(spectrum: Spectrum) -> Spectrum:
        magnitude = np.abs(spectrum)
        # A short excerpt has too few frames so far apart: then half of it is as far as can be.
        apart = min(width, max(1, (magnitude.shape[1] - 1) // 2 - 1))
        alike = librosa.decompose.nn_filter(magnitude, aggregate=np.median, metric="cosine", width=apart)
        repeating = np.minimum(magnitude, alike)
        background = repeating / np.maximum(magnitude, np.finfo(magnitude.dtype).tiny)
        mask = background if word in REPEATING else 1 - background
        return np.asarray(mask * spectrum)

    return _each_channel(task.mixture, part)


@dataclass(frozen=True)
class Baseline:
    """A method of librosa's, source by source."""

    name: str
    estimate: Callable[[Task, str], Tensor]
    kind: Kind = "baseline"

    def describe(self) -> dict[str, Any]:
        return {"n_fft": N_FFT, "hop": HOP, "librosa": _librosa().__version__}

    def answer(self, task: Task) -> Answer:
        return Answer({word: self.estimate(task, word) for word in task.references})


BASELINES = {"hpss": Baseline("HPSS", hpss), "repet-sim": Baseline("REPET-SIM", repet_sim)}


def find(name: str) -> Baseline:
    """The baseline called `name`.

    Raises:
        TagBoxError: there is none, or librosa is missing.
    """
    if name not in BASELINES:
        raise TagBoxError(f"no baseline is called {name!r}; choose one of {', '.join(BASELINES)}")
    _librosa()
    return BASELINES[name]


def _each_channel(mixture: Tensor, part: Callable[[Spectrum], Spectrum]) -> Tensor:
    librosa = _librosa()
    channels = []
    for channel in mixture.numpy():
        padded = np.pad(channel, (0, max(0, N_FFT - len(channel))))
        spectrum = librosa.stft(padded, n_fft=N_FFT, hop_length=HOP)
        channels.append(librosa.istft(part(spectrum), hop_length=HOP, length=len(padded)))
    return fit(torch.from_numpy(np.stack(channels)), mixture.shape[-1])


def _librosa() -> ModuleType:
    try:
        import librosa
    except ImportError as error:
        raise TagBoxError(
            "the baselines need librosa; install it with: pip install 'tagbox[eval]', or leave --baseline out"
        ) from error
    module: ModuleType = librosa
    return module
