"""Recordings of any length cut into windows of the length that a network was trained on.

A network hears silence as silence: where a window is filled up with zeros, a short clip of a guitar is mostly
"no guitar". So what is missing is filled by *repeating* the recording; zeros are the published way.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from tagbox.errors import TagBoxError

PADDINGS = ("repeat", "zeros")


def count(samples: int, window: int, hop: int) -> int:
    """Windows needed, `hop` samples apart, until every one of `samples` is covered; at least one."""
    return max(0, math.ceil((samples - window) / hop)) + 1


def hop_of(window: int, overlap: float) -> int:
    """Samples from one window's start to the next, for an `overlap` from 0 (none) to below 1.

    Raises:
        TagBoxError: the overlap is outside that range.
    """
    if not 0 <= overlap < 1:
        raise TagBoxError(f"windows cannot overlap by {overlap:g}; give a fraction from 0 to below 1")
    return max(1, round(window * (1 - overlap)))


def cut(audio: Tensor, window: int, hop: int, padding: str = "repeat") -> Tensor:
    """Cut `audio` into windows that begin every `hop` samples and cover all of it.

    With padding "repeat" the recording is played again from its start, as often as it takes, until the last
    window is full; with "zeros" silence follows it.

    Args:
        audio: (batch, samples), at least one sample.
        window: samples of a window.
        hop: samples from one window's start to the next, at most `window`.
        padding: "repeat" or "zeros".

    Returns:
        (batch, windows, window), inside the graph.

    Raises:
        TagBoxError: the audio is no (batch, samples) tensor or holds nothing, the padding is unknown, or the
            hop would leave gaps.
    """
    if padding not in PADDINGS:
        raise TagBoxError(f"no padding is called {padding!r}; choose one of {', '.join(PADDINGS)}")
    if audio.dim() != 2:
        raise TagBoxError(f"a tagger hears (batch, samples); got a tensor of shape {tuple(audio.shape)}")
    samples = audio.shape[1]
    if samples == 0:
        raise TagBoxError("the recording is empty; a tagger needs at least one sample")
    if not 1 <= hop <= window:
        raise TagBoxError(f"a hop of {hop} leaves gaps between windows of {window}; give 1 to {window}")
    windows = count(samples, window, hop)
    missing = (windows - 1) * hop + window - samples
    if missing > 0 and padding == "zeros":
        audio = functional.pad(audio, (0, missing))
    elif missing > 0:
        rounds, rest = divmod(missing, samples)
        audio = torch.cat([audio] * (1 + rounds) + [audio[:, :rest]], dim=1)
    if windows == 1:
        return audio[:, None]
    return audio.unfold(1, window, hop)
