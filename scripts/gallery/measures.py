"""Measures of a result against the reference stem: SI-SDR, SDR and flutter."""

from collections.abc import Mapping

from torch import Tensor

from tagbox.audio.stft import stft
from tagbox.evaluation.metrics import sdr, si_sdr

FLUTTER_FFT_SIZE = 512
AUDIBLE_RANGE_DB = 50.0
MIN_MAGNITUDE = 1e-8


def ratios(tracks: Mapping[str, Tensor], reference: Tensor) -> dict[str, dict[str, float]]:
    """Return SI-SDR and SDR, in dB, of each track (channels, samples) against `reference`."""
    measures = {"si_sdr": si_sdr, "sdr": sdr}
    return {
        measure: {name: round(ratio(track, reference), 3) for name, track in tracks.items()}
        for measure, ratio in measures.items()
    }


def flutter(track: Tensor, reference: Tensor) -> float:
    """Return by how many dB the level of `track` changes from frame to frame, on average; warbling raises it.

    The mean is over the bins of a spectrogram (FFT size `FLUTTER_FFT_SIZE`) where `reference` is within
    `AUDIBLE_RANGE_DB` of its maximum, so that all estimates of a source are measured at the same bins. Both
    are (channels, samples).
    """
    level, reference_level = (
        (stft(signal.mean(dim=0), FLUTTER_FFT_SIZE).abs() + MIN_MAGNITUDE).log10() * 20
        for signal in (track, reference)
    )
    audible = reference_level > reference_level.max() - AUDIBLE_RANGE_DB
    audible_in_both_frames = audible[:, 1:] & audible[:, :-1]
    return round(float(level.diff(dim=1)[audible_in_both_frames].abs().mean()), 3)
