r"""Components as sound, at the rate at which taggers hear them.

With Q the mixture's spectrum over the sum of all components, component k is the inverse STFT of
:math:`w_k h_k Q`. Taggers hear up to half of their own rate only, so what lies far above need not be made:
the lowest 1/d of the bins are the STFT of the component at 1/d of the rate, with a window and a hop of 1/d of
the length. d is a power of two, and leaves a quarter more of the band than is heard, where the resampler's
filter falls off.

The root Hann window squared overlaps to one, so frames are windowed and added, half by half. Only after the
last frame's middle is there no second frame: less than half a window, which fades out rather than be divided
by the end of a window, where rounding would become a click.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from tagbox.audio import resample
from tagbox.components.nmf import TINY
from tagbox.masks import overlapped, root_hann

AT_ONCE = 4
"""Components: the spectrograms of all are many times the recording."""

ROOM = 1.25
"""What is computed of the band, over what is heard of it."""


def waves(
    spectrum: Tensor, factors: Sequence[tuple[Tensor, Tensor]], samples: int, rate: int, heard_rate: int
) -> Tensor:
    """Every component's part of a recording, (components, ceil(samples heard_rate / rate)).

    Args:
        spectrum: the recording's STFT (bins, frames), as `tagbox.masks.stft` makes it.
        factors: for each factorisation of it shapes (bins, components) and activations (components, frames).
        samples: of the recording, at `rate`.
        rate: Hz.
        heard_rate: of the result, Hz.
    """
    by = _divisor(2 * (spectrum.shape[0] - 1), rate, heard_rate)
    size = 2 * (spectrum.shape[0] - 1) // by
    low = spectrum[: size // 2 + 1].T / by
    window = root_hann(size, spectrum.device)
    heard, fewer = -(-samples * heard_rate // rate), -(-samples // by)
    # One block for all, filled in turn: they are the most that there is in memory.
    made = torch.empty(sum(activations.shape[0] for _, activations in factors), heard, device=spectrum.device)
    at = 0
    for spectra in chain.from_iterable(_in_turn(low, *each) for each in factors):
        frames = torch.fft.irfft(spectra, n=size, dim=-1).mul_(window)
        sound = torch.cat(overlapped(frames, fewer), dim=-1)[..., :fewer]
        own = resample(sound, rate // by, heard_rate)
        made[at : at + len(own)] = own[:, :heard]
        at += len(own)
    return made


def _in_turn(low: Tensor, shapes: Tensor, activations: Tensor) -> Iterator[Tensor]:
    """What each component has of `low` (frames, bins), a few at a time: (some components, frames, bins)."""
    lowest = shapes[: low.shape[1]].T.contiguous()
    quotient = low / (activations.T @ lowest + TINY * len(activations))
    for shape, when in zip(torch.split(lowest, AT_ONCE), torch.split(activations, AT_ONCE), strict=True):
        yield (when[:, :, None] * shape[:, None, :]).add_(TINY) * quotient


def _divisor(n_fft: int, rate: int, heard_rate: int) -> int:
    by = 1
    while rate % (2 * by) == 0 and n_fft % (4 * by) == 0 and rate >= 2 * by * ROOM * heard_rate:
        by *= 2
    return by
