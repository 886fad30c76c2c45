"""Separation without training, by librosa: the baselines that the paper compares with.

HPSS (Fitzgerald 2010, with the margins of Driedger et al. 2014 at 1): drums are the percussive part, any
other source is the harmonic part. REPET-SIM (Rafii and Pardo 2012): drums and bass are the repeating
background, which resembles the most similar frames elsewhere; any other source is the foreground. The paper
has figures of HPSS for drums and of REPET-SIM for vocals only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tagbox.audio.resampling import pad_or_trim
from tagbox.errors import TagBoxError
from tagbox.evaluation.systems import SystemInput, SystemKind, SystemOutput
from tagbox.registry import look_up

N_FFT = 2048
HOP_LENGTH = 512
MIN_REPETITION_SECONDS = 2.0
"""Frames that are nearer to each other do not count as a repetition."""
REPEATING_SOURCES = ("drums", "bass")

Spectrum = NDArray[np.complexfloating[Any, Any]]


def hpss(excerpt: SystemInput, query: str) -> Tensor:
    """Return the percussive part for drums, the harmonic part for any other source."""
    return _apply_to_channels(excerpt.mixture, partial(_hpss_part, percussive=query == "drums"))


def repet_sim(excerpt: SystemInput, query: str) -> Tensor:
    """Return the repeating background for drums and bass, the foreground for any other source."""
    distance = _import_librosa().time_to_frames(
        MIN_REPETITION_SECONDS, sr=excerpt.rate, hop_length=HOP_LENGTH
    )
    part = partial(_repet_part, min_distance=max(1, int(distance)), repeating=query in REPEATING_SOURCES)
    return _apply_to_channels(excerpt.mixture, part)


@dataclass(frozen=True)
class Baseline:
    """A method of librosa's, applied to one source at a time."""

    name: str
    estimate: Callable[[SystemInput, str], Tensor]
    kind: SystemKind = "baseline"

    def describe(self) -> dict[str, Any]:
        """Return the STFT's sizes and librosa's version."""
        return {"n_fft": N_FFT, "hop": HOP_LENGTH, "librosa": _import_librosa().__version__}

    def separate(self, excerpt: SystemInput) -> SystemOutput:
        """Estimate each source."""
        return SystemOutput({query: self.estimate(excerpt, query) for query in excerpt.references})


BASELINES = {"hpss": Baseline("HPSS", hpss), "repet-sim": Baseline("REPET-SIM", repet_sim)}


def find_baseline(name: str) -> Baseline:
    """Return the baseline called `name`.

    Raises:
        TagBoxError: there is none, or librosa is not installed.
    """
    baseline = look_up(BASELINES, name, "baseline")
    _import_librosa()
    return baseline


def _hpss_part(spectrum: Spectrum, percussive: bool) -> Spectrum:
    parts: tuple[Spectrum, Spectrum] = _import_librosa().decompose.hpss(spectrum)
    return parts[1] if percussive else parts[0]


def _repet_part(spectrum: Spectrum, min_distance: int, repeating: bool) -> Spectrum:
    magnitude = np.abs(spectrum)
    # A short excerpt has too few frames that far apart; there, half of its length has to do.
    width = min(min_distance, max(1, (magnitude.shape[1] - 1) // 2 - 1))
    similar = _import_librosa().decompose.nn_filter(
        magnitude, aggregate=np.median, metric="cosine", width=width
    )
    background = np.minimum(magnitude, similar) / np.maximum(magnitude, np.finfo(magnitude.dtype).tiny)
    mask = background if repeating else 1 - background
    return np.asarray(mask * spectrum)


def _apply_to_channels(mixture: Tensor, part: Callable[[Spectrum], Spectrum]) -> Tensor:
    """Apply `part` to the STFT of each channel of `mixture` (channels, samples), and invert the STFT."""
    librosa = _import_librosa()
    channels = []
    for channel in pad_or_trim(mixture, max(N_FFT, mixture.shape[-1])).numpy():
        spectrum = librosa.stft(channel, n_fft=N_FFT, hop_length=HOP_LENGTH)
        channels.append(librosa.istft(part(spectrum), hop_length=HOP_LENGTH, length=len(channel)))
    return pad_or_trim(torch.from_numpy(np.stack(channels)), mixture.shape[-1])


def _import_librosa() -> ModuleType:
    try:
        import librosa
    except ImportError as error:
        raise TagBoxError(
            "the baselines need librosa; install it with: pip install 'tagbox[eval]', or leave --baseline out"
        ) from error
    module: ModuleType = librosa
    return module
