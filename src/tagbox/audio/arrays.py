"""Convert and check recordings that are given as arrays."""

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tagbox.errors import TagBoxError


def as_channels(audio: ArrayLike | Tensor) -> Tensor:
    """`audio`, (samples,) or (channels, samples), as a float32 tensor (channels, samples) on the CPU.

    Raises:
        TagBoxError: it is empty, not finite, or of another shape.
    """
    x = torch.as_tensor(audio).detach().to("cpu", torch.float32)
    x = x[None] if x.dim() == 1 else x
    if x.dim() == 2 and x.numel() == 0:
        raise TagBoxError("the recording is empty; give one with at least one sample")
    if x.dim() != 2 or x.shape[0] > x.shape[1]:
        raise TagBoxError(f"the audio has the shape {tuple(x.shape)}; give (samples,) or (channels, samples)")
    if not bool(torch.isfinite(x).all()):
        raise TagBoxError("the recording has values that are not finite (NaN or infinity); export it again")
    return x


def check_recording(audio: ArrayLike | Tensor, rate: int) -> Tensor:
    """Return `audio` as a float32 tensor (channels, samples) on the CPU.

    Raises:
        TagBoxError: it is empty, silent, not finite, or of another shape, or the rate makes no sense.
    """
    if rate < 1:
        raise TagBoxError(f"the rate is {rate} Hz; give the recording's own, for example 44100")
    channels = as_channels(audio)
    if not bool(channels.any()):
        raise TagBoxError("the recording is silent; there is nothing in it to separate")
    return channels
