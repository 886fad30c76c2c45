r"""Signal-to-distortion ratios, and what they say of silence.

SI-SDR (Le Roux et al. 2019, "SDR - half-baked or well done?", equation 3) first scales the reference to the
estimate, so that loudness alone neither helps nor harms:

.. math:: \mathrm{SI\text{-}SDR} = 10 \log_{10} \frac{\|\alpha s\|^2}{\|\alpha s - \hat s\|^2}, \qquad
          \alpha = \frac{\hat s^T s}{\|s\|^2}

An improvement is the estimate's ratio minus the mixture's. What the formulas leave open is defined here:

- A silent *estimate* has SI-SDR minus infinity, and 0 dB of SDR, which is what the formula gives.
- A silent *reference* has no ratio. Such a case is never averaged; what counts then is the leak, the
  estimate's energy against the mixture's (`leak`), and reports say how many there were.
- In tables, ratios are kept within `LEAST` and `MOST` dB, so that one infinity does not eat a mean.
- Windows (BSS Eval v4): those with a silent reference are left out, as in museval; a silent estimate gets
  0 dB there, where museval drops the window.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tagbox.errors import TagBoxError

LEAST, MOST = -60.0, 100.0
"""dB; white noise without any of the source in it scores about -57 over 12 s at 44.1 kHz."""


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
    target = (e * s).sum() / s.square().sum() * s
    return _ratio_db(target, target - e)


def sdr(estimate: Tensor, reference: Tensor) -> float:
    """SDR in dB, without any scaling: silence gets 0 dB.

    Raises:
        TagBoxError: the signals cannot be compared (see `validate`).
    """
    validate(estimate, reference)
    s, e = reference.double().flatten(), estimate.double().flatten()
    return _ratio_db(s, s - e)


def window_sdr(estimate: Tensor, reference: Tensor, rate: int) -> float:
    """The median over windows of one second of BSS Eval v4's SDR (dB), computed by museval.

    The signals are (channels, samples). NaN never comes out: see the top of this module for silence.

    Raises:
        TagBoxError: the signals cannot be compared, no window of the reference plays, or museval is missing.
    """
    validate(estimate, reference)
    bss_eval = require_museval()
    count = max(1, reference.shape[-1] // rate)
    length = min(rate, reference.shape[-1])
    windows = [slice(i * length, (i + 1) * length) for i in range(count)]
    playing = [w for w in windows if bool(reference[:, w].any())]
    if not playing:
        raise TagBoxError("the reference is silent in every window; leave out sources that do not play")
    heard = [w for w in playing if bool(estimate[:, w].any())]
    ratios = [0.0] * (len(playing) - len(heard))
    if heard:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            s, e = (
                torch.cat([signal[:, w] for w in heard], dim=1).T[None].double().numpy()
                for signal in (reference, estimate)
            )
            answers = bss_eval(s, e, window=length, hop=length)[0][0]
        ratios += [bounded(float(ratio)) for ratio in answers]
    return float(torch.tensor(ratios, dtype=torch.float64).quantile(0.5))


def require_museval() -> Callable[..., Any]:
    """museval's BSS Eval v4.

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
    found: Callable[..., Any] = bss_eval
    return found


def leak(estimate: Tensor, mixture: Tensor) -> float:
    """The energy of `estimate` against `mixture`'s in dB: what counts where the source does not play."""
    return bounded(_ratio_db(estimate.double(), mixture.double()))


def bounded(value: float) -> float:
    """A ratio as it stands in tables: within `LEAST` and `MOST` dB."""
    if math.isnan(value):
        raise TagBoxError("a ratio came out as no number at all; nothing can be measured of these signals")
    return min(max(value, LEAST), MOST)


@dataclass(frozen=True)
class Scores:
    """Ratios of one estimate and their improvements over the mixture, all in dB and bounded."""

    si_sdr: float
    si_sdri: float
    sdr: float
    sdri: float


def score(estimate: Tensor, reference: Tensor, mixture: Tensor) -> Scores:
    """Measure `estimate` of `reference` in `mixture`, each (channels, samples).

    Raises:
        TagBoxError: the signals cannot be compared (see `validate`).
    """
    si, plain = bounded(si_sdr(estimate, reference)), bounded(sdr(estimate, reference))
    return Scores(
        si_sdr=si,
        si_sdri=si - bounded(si_sdr(mixture, reference)),
        sdr=plain,
        sdri=plain - bounded(sdr(mixture, reference)),
    )


def _ratio_db(signal: Tensor, error: Tensor) -> float:
    power, noise = float(signal.square().sum()), float(error.square().sum())
    if power == 0:
        return float("-inf")
    if noise == 0:
        return float("inf")
    return float(10 * torch.log10(torch.tensor(power / noise, dtype=torch.float64)))
