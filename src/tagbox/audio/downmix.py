r"""Mix channels down to one that has in it what can be heard.

The mean of channels of opposite phase is silence: for L = -R, rounding would decide what is separated. So
the channels' polarities are looked at first. With C the channels' covariance and s a polarity (1 or -1) for
each, the mono mix has the energy :math:`s^T C s / n^2`. The polarities of C's first eigenvector are taken
where they give a mix of more than four times the energy of the mean; everything else, which is nearly all
music, is the mean, to the last bit.
"""

import torch
from torch import Tensor

POLARITY_GAIN = 4.0
"""Energy that the other polarities must bring, over that of the mean: 6 dB."""


def downmix(channels: Tensor) -> Tensor:
    """Mix (..., channels, samples) down to (..., samples)."""
    mean = channels.mean(dim=-2)
    if channels.shape[-2] < 2:
        return mean
    if channels.dim() > 2:
        mixes = [downmix(each) for each in channels.flatten(0, -3)]
        return torch.stack(mixes).reshape(mean.shape)
    polarity = polarities(channels)
    return mean if polarity is None else (polarity[:, None] * channels).mean(dim=-2)


def with_channels(audio: Tensor, count: int) -> Tensor:
    """Return `audio` (..., channels, samples) with `count` channels.

    Where it has another number, its mono mix is in each of them.
    """
    if audio.shape[-2] == count:
        return audio
    mono = downmix(audio).unsqueeze(-2)
    return mono.expand(*mono.shape[:-2], count, mono.shape[-1])


def polarities(channels: Tensor) -> Tensor | None:
    """Return a polarity for each of `channels` (channels, samples), (channels,); None where all are 1."""
    with torch.no_grad():
        values = channels.detach().double()
        covariance = values @ values.T
        first = torch.linalg.eigh(covariance).eigenvectors[:, -1]
        signs = torch.where(first >= 0, 1.0, -1.0).to(values)
        signs = signs * signs[0]
        if bool(signs @ covariance @ signs > POLARITY_GAIN * covariance.sum()):
            return signs.to(channels)
    return None
