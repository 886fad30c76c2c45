"""Cut recordings of any length into windows of the length that a network was trained on.

Silence counts for a network as part of the music: of a short clip of a guitar in a window filled up with
zeros it predicts mostly "no guitar". So the default fills a window by *repeating* the recording; zeros are
the published way.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from tagbox.errors import TagBoxError

PADDINGS = ("repeat", "zeros")


def count_windows(samples: int, window: int, hop: int) -> int:
    """Count the windows, `hop` samples apart, that cover `samples`; at least one."""
    return max(0, math.ceil((samples - window) / hop)) + 1


def hop_length(window: int, overlap: float) -> int:
    """Compute the samples from one window's start to the next, for an `overlap` from 0 (none) to below 1.

    Raises:
        TagBoxError: the overlap is outside that range.
    """
    if not 0 <= overlap < 1:
        raise TagBoxError(f"windows cannot overlap by {overlap:g}; give a fraction from 0 to below 1")
    return max(1, round(window * (1 - overlap)))


def cut_windows(audio: Tensor, window: int, hop: int, padding: str = "repeat") -> Tensor:
    """Cut `audio` into windows that begin every `hop` samples and cover all of it.

    With padding "repeat" the recording is repeated from its start, as often as it takes, until the last
    window is full; with "zeros" silence follows it.

    Args:
        audio: (batch, samples), at least one sample.
        window: samples of a window.
        hop: samples from one window's start to the next, at most `window`.
        padding: "repeat" or "zeros".

    Returns:
        (batch, windows, window), inside the graph.

    Raises:
        TagBoxError: the audio is not (batch, samples) or is empty, the padding is unknown, or the hop length
            would leave gaps.
    """
    if padding not in PADDINGS:
        raise TagBoxError(f"no padding is called {padding!r}; choose one of {', '.join(PADDINGS)}")
    if audio.dim() != 2:
        raise TagBoxError(f"a tagger takes (batch, samples); got a tensor of shape {tuple(audio.shape)}")
    samples = audio.shape[1]
    if samples == 0:
        raise TagBoxError("the recording is empty; a tagger needs at least one sample")
    if not 1 <= hop <= window:
        raise TagBoxError(f"a hop of {hop} leaves gaps between windows of {window}; give 1 to {window}")
    windows = count_windows(samples, window, hop)
    missing = (windows - 1) * hop + window - samples
    if missing > 0 and padding == "zeros":
        audio = functional.pad(audio, (0, missing))
    elif missing > 0:
        repetitions, rest = divmod(missing, samples)
        audio = torch.cat([audio] * (1 + repetitions) + [audio[:, :rest]], dim=1)
    if windows == 1:
        return audio[:, None]
    return audio.unfold(1, window, hop)
