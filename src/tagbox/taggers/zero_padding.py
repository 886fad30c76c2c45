"""Windows that zeros fill up where the recording ends: what a network hears of them is always the same.

So a network that says how gets the frames that the recording reaches, and what it makes of silence, which is
computed once and kept. Filled by repetition, the default, nothing of a window is known beforehand.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from tagbox.taggers.frontends import LogMel
from tagbox.taggers.networks.fcn import FCN


@dataclass(frozen=True)
class TruncatedFrontEnd:
    """A front end that looks at the first `frames` of a window alone."""

    whole: LogMel
    frames: int

    def __call__(self, audio: Tensor) -> Tensor:
        """(batch, samples) to (batch, bands, frames)."""
        needed = self.frames * self.whole.hop + self.whole.fft
        return self.whole(audio[:, :needed])[..., : self.frames]


class PaddingAwareNetwork(nn.Module):
    """A network that hears the beginning of windows of `frames`, after which there is silence."""

    def __init__(self, network: FCN, frames: int) -> None:
        super().__init__()
        self.network = network
        self.frames = frames

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(batch, bands, fewer frames) to logits (batch, tags)."""
        silence = _silence(self.network, spectrogram.shape[1], self.frames)
        return self.network.before_silence(spectrogram, silence)


def shortened(
    frontend: object, network: nn.Module, samples: int, window: int
) -> tuple[TruncatedFrontEnd, PaddingAwareNetwork] | None:
    """A front end and a network that answer as the given ones do where zeros follow the first `samples`.

    None where they cannot be told of silence, or there is none.
    """
    if not (isinstance(frontend, LogMel) and isinstance(network, FCN)):
        return None
    # A frame sees half of the STFT's window on both sides of where it stands.
    frames = (samples + frontend.fft // 2 - 1) // frontend.hop + 1
    whole = 1 + window // frontend.hop
    return (
        (TruncatedFrontEnd(frontend, frames), PaddingAwareNetwork(network, whole)) if frames < whole else None
    )


@lru_cache(maxsize=8)
def _silence(network: FCN, bands: int, frames: int) -> list[Tensor]:
    with torch.inference_mode(False):
        return network.silence(bands, frames)
