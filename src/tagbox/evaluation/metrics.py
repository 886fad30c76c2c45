r"""Signal-to-distortion ratios, and what they are for silence.

SI-SDR (Le Roux et al. 2019, "SDR - half-baked or well done?", equation 3) first scales the reference to the
estimate, so that loudness makes no difference:

.. math:: \mathrm{SI\text{-}SDR} = 10 \log_{10} \frac{\|\alpha s\|^2}{\|\alpha s - \hat s\|^2}, \qquad
          \alpha = \frac{\hat s^T s}{\|s\|^2}

An improvement is the ratio of the estimate minus the ratio of the mixture. What the formulas leave open is
defined here:

- A silent estimate has an SI-SDR of minus infinity, and an SDR of 0 dB, which is what the formula gives.
- A silent reference has no ratio. Such a case is in no mean; the estimate's energy relative to the mixture's
  is measured instead (`energy_ratio`), and reports say how many such cases there were.
- In tables, ratios are limited to `MIN_RATIO_DB` and `MAX_RATIO_DB`, so that no infinity spoils a mean.
- Windows of BSS Eval v4 with a silent reference are left out, as in museval; a silent estimate gets 0 dB
  there, where museval drops the window.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tagbox.errors import TagBoxError

MIN_RATIO_DB, MAX_RATIO_DB = -60.0, 100.0
"""White noise that holds nothing of the source scores about -57 dB over 12 s at 44.1 kHz."""
WINDOW_SECONDS = 1
"""Length of the windows of BSS Eval v4."""


def check_comparable(estimate: Tensor, reference: Tensor) -> None:
    """Check that an estimate can be compared with a reference.

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
    """Compute the SI-SDR (dB) of `estimate` (channels, samples); minus infinity for a silent estimate.

    All channels are taken as one signal, and means are not removed: audio has hardly any.

    Raises:
        TagBoxError: the signals cannot be compared (see `check_comparable`).
    """
    check_comparable(estimate, reference)
    s, e = reference.double().flatten(), estimate.double().flatten()
    target = (e * s).sum() / s.square().sum() * s
    return _ratio_db(target, target - e)


def sdr(estimate: Tensor, reference: Tensor) -> float:
    """Compute the SDR (dB) of `estimate` (channels, samples), without scaling; 0 dB for a silent estimate.

    Raises:
        TagBoxError: the signals cannot be compared (see `check_comparable`).
    """
    check_comparable(estimate, reference)
    s, e = reference.double().flatten(), estimate.double().flatten()
    return _ratio_db(s, s - e)


def window_sdr(estimate: Tensor, reference: Tensor, rate: int) -> float:
    """Compute the median over windows of one second of BSS Eval v4's SDR (dB), by museval.

    The result is never NaN: see the top of this module for silence.

    Args:
        estimate: (channels, samples).
        reference: (channels, samples).
        rate: sample rate, Hz.

    Raises:
        TagBoxError: the signals cannot be compared, the reference is silent in all windows, or museval is
            missing.
    """
    check_comparable(estimate, reference)
    bss_eval = import_bss_eval()
    length = min(WINDOW_SECONDS * rate, reference.shape[-1])
    windows = [slice(i * length, (i + 1) * length) for i in range(reference.shape[-1] // length)]
    with_reference = [w for w in windows if bool(reference[:, w].any())]
    if not with_reference:
        raise TagBoxError("the reference is silent in every window; leave out sources that do not play")
    with_both = [w for w in with_reference if bool(estimate[:, w].any())]
    ratios = [0.0] * (len(with_reference) - len(with_both))
    if with_both:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            s, e = (
                torch.cat([signal[:, w] for w in with_both], dim=1).T[None].double().numpy()
                for signal in (reference, estimate)
            )
            sdr_by_window = bss_eval(s, e, window=length, hop=length)[0][0]
        ratios += [limit_ratio(float(ratio)) for ratio in sdr_by_window]
    return float(torch.tensor(ratios, dtype=torch.float64).quantile(0.5))


def import_bss_eval() -> Callable[..., Any]:
    """Import museval's BSS Eval v4.

    Raises:
        TagBoxError: museval or its ffmpeg is missing.
    """
    try:
        from museval.metrics import bss_eval
    except ImportError as error:
        raise TagBoxError(
            "the window-median SDR needs museval; install it with: pip install 'tagbox[eval]'"
        ) from error
    except RuntimeError as error:
        raise TagBoxError(f"museval cannot be used ({error}); put ffmpeg on the PATH") from error
    function: Callable[..., Any] = bss_eval
    return function


def energy_ratio(estimate: Tensor, mixture: Tensor) -> float:
    """Compute the energy of `estimate` relative to that of `mixture` (dB, limited).

    Where the source does not play, this is how much the estimate leaks.
    """
    return limit_ratio(_ratio_db(estimate.double(), mixture.double()))


def limit_ratio(ratio: float) -> float:
    """Limit a ratio to `MIN_RATIO_DB` and `MAX_RATIO_DB`.

    Raises:
        TagBoxError: it is NaN.
    """
    if math.isnan(ratio):
        raise TagBoxError("a ratio came out as no number at all; nothing can be measured of these signals")
    return min(max(ratio, MIN_RATIO_DB), MAX_RATIO_DB)


@dataclass(frozen=True)
class Scores:
    """Ratios of one estimate, and their improvements over the mixture, all in dB and limited."""

    si_sdr: float
    si_sdri: float
    sdr: float
    sdri: float


def score_estimate(estimate: Tensor, reference: Tensor, mixture: Tensor) -> Scores:
    """Compute the ratios of `estimate` of `reference` in `mixture`, each (channels, samples).

    Raises:
        TagBoxError: the signals cannot be compared (see `check_comparable`).
    """
    scale_invariant, plain = limit_ratio(si_sdr(estimate, reference)), limit_ratio(sdr(estimate, reference))
    return Scores(
        si_sdr=scale_invariant,
        si_sdri=scale_invariant - limit_ratio(si_sdr(mixture, reference)),
        sdr=plain,
        sdri=plain - limit_ratio(sdr(mixture, reference)),
    )


def _ratio_db(signal: Tensor, error: Tensor) -> float:
    power, error_power = float(signal.square().sum()), float(error.square().sum())
    if power == 0:
        return float("-inf")
    if error_power == 0:
        return float("inf")
    return float(10 * torch.log10(torch.tensor(power / error_power, dtype=torch.float64)))
