"""What is measured of an example: ratios where the true stem is known, and unsteadiness."""

from collections.abc import Mapping

from torch import Tensor

from tagbox.audio.stft import stft
from tagbox.evaluation.metrics import sdr, si_sdr

FLUTTER_FFT = 512  # samples
AUDIBLE_DB = 50.0
FLOOR = 1e-8


def ratios(tracks: Mapping[str, Tensor], truth: Tensor) -> dict[str, dict[str, float]]:
    """SI-SDR and SDR of each track (channels, samples) against `truth`, dB."""
    measures = {"si_sdr": si_sdr, "sdr": sdr}
    return {
        measure: {name: round(ratio(track, truth), 3) for name, track in tracks.items()}
        for measure, ratio in measures.items()
    }


def flutter(track: Tensor, truth: Tensor) -> float:
    """How much levels change from one frame to the next, dB: warbling is one thing that raises it.

    The mean over the points of a spectrogram (`FLUTTER_FFT`) where `truth` is within `AUDIBLE_DB` of its
    loudest, so that every estimate of a source is measured at the same points. Both are (channels, samples).
    """
    levels = (stft(track.mean(dim=0), FLUTTER_FFT).abs() + FLOOR).log10() * 20
    true = (stft(truth.mean(dim=0), FLUTTER_FFT).abs() + FLOOR).log10() * 20
    heard = true > true.max() - AUDIBLE_DB
    both = heard[:, 1:] & heard[:, :-1]
    return round(float(levels.diff(dim=1)[both].abs().mean()), 3)
