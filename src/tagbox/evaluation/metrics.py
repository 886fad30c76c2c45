r"""Signal-to-distortion ratios.

SI-SDR (Le Roux et al. 2019, "SDR - half-baked or well done?", equation 3) first scales the reference to the
estimate, so that loudness alone neither helps nor harms:

.. math:: \mathrm{SI\text{-}SDR} = 10 \log_{10} \frac{\|\alpha s\|^2}{\|\alpha s - \hat s\|^2}, \qquad
          \alpha = \frac{\hat s^T s}{\|s\|^2}
"""

import torch
from torch import Tensor

from tagbox.errors import TagBoxError


def validate(estimate: Tensor, reference: Tensor) -> None:
    """Check that two signals can be compared.

    Raises:
        TagBoxError: their shapes differ, they are empty, a sample is not finite, or the reference is silent.
    """
    if estimate.shape != reference.shape:
        raise TagBoxError(
            f"the estimate has shape {tuple(estimate.shape)} and the reference {tuple(reference.shape)}; "
            "give signals of one length and one number of channels"
        )
    if estimate.numel() == 0:
        raise TagBoxError("the signals are empty; give at least one sample")
    if not bool(torch.isfinite(estimate).all() and torch.isfinite(reference).all()):
        raise TagBoxError("a signal has samples that are not finite numbers; nothing can be measured")
    if not bool(reference.any()):
        raise TagBoxError("the reference is silent; leave out sources that do not play")


def si_sdr(estimate: Tensor, reference: Tensor) -> float:
    """SI-SDR in dB of `estimate` (channels, samples); minus infinity for a silent estimate.

    All channels are one signal. Means are kept: audio has none to speak of.

    Raises:
        TagBoxError: the signals cannot be compared (see `validate`).
    """
    validate(estimate, reference)
    s, e = reference.double().flatten(), estimate.double().flatten()
    target = (e @ s) / (s @ s) * s
    return _ratio_db(target, target - e)


def sdr(estimate: Tensor, reference: Tensor) -> float:
    """SDR in dB, without any scaling: silence gets 0 dB.

    Raises:
        TagBoxError: the signals cannot be compared (see `validate`).
    """
    validate(estimate, reference)
    s, e = reference.double().flatten(), estimate.double().flatten()
    return _ratio_db(s, s - e)


def _ratio_db(signal: Tensor, error: Tensor) -> float:
    power, noise = float(signal.square().sum()), float(error.square().sum())
    if power == 0:
        return float("-inf")
    if noise == 0:
        return float("inf")
    return float(10 * torch.log10(torch.tensor(power / noise, dtype=torch.float64)))
