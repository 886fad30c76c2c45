"""Skip the zeros that fill up a window: what a network computes of them is the same for every recording.

A network that supports it gets only the frames that the recording reaches, and its layers' outputs for
silence, which are computed once and cached. The default padding repeats the recording, and leaves nothing to
skip.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from tagbox.taggers.frontends import LogMel
from tagbox.taggers.networks.fcn import FCN


@dataclass(frozen=True)
class TruncatedFrontEnd:
    """A front end that computes only the first `frames` of a window."""

    whole: LogMel
    frames: int

    def __call__(self, audio: Tensor) -> Tensor:
        """Transform (batch, samples) to (batch, bands, frames)."""
        needed = self.frames * self.whole.hop + self.whole.fft
        return self.whole(audio[:, :needed])[..., : self.frames]


class PaddingAwareNetwork(nn.Module):
    """A network on the beginning of windows of `frames`, which silence follows."""

    def __init__(self, network: FCN, frames: int) -> None:
        super().__init__()
        self.network = network
        self.frames = frames

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, bands, fewer frames) to logits (batch, tags)."""
        silent_inputs = _silent_inputs(self.network, spectrogram.shape[1], self.frames)
        return self.network.forward_before_silence(spectrogram, silent_inputs)


def skip_padding(
    frontend: object, network: nn.Module, samples: int, window: int
) -> tuple[TruncatedFrontEnd, PaddingAwareNetwork] | None:
    """Return a front end and a network that skip the zeros after the first `samples` of a window.

    They compute the same as `frontend` and `network`. None where the network does not support it, or there
    are no zeros.
    """
    if not (isinstance(frontend, LogMel) and isinstance(network, FCN)):
        return None
    # A frame covers half of the STFT's window on both sides of its centre.
    frames = (samples + frontend.fft // 2 - 1) // frontend.hop + 1
    whole = 1 + window // frontend.hop
    if frames >= whole:
        return None
    return TruncatedFrontEnd(frontend, frames), PaddingAwareNetwork(network, whole)


@lru_cache(maxsize=8)
def _silent_inputs(network: FCN, bands: int, frames: int) -> list[Tensor]:
    with torch.inference_mode(False):
        return network.silent_inputs(bands, frames)
