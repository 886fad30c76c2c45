"""Tell dark sound from bright sound by the balance of its energy."""

from pathlib import Path

import torch
from torch import Tensor, nn

from tagbox.plugins import Model
from tagbox.taggers.tagger import Tagger

RATE_HZ = 32_000
WINDOW_SAMPLES = 32_000
CROSSOVER_HZ = 1_000


class PowerSpectrum:
    """Transforms windows to power spectra; any two transform alike."""

    def __call__(self, audio: Tensor) -> Tensor:
        """Transform (batch, samples) to (batch, bins)."""
        power: Tensor = torch.fft.rfft(audio).abs().square()
        return power

    def __eq__(self, other: object) -> bool:
        """Compare by type."""
        return isinstance(other, PowerSpectrum)

    def __hash__(self) -> int:
        """Return the same for all."""
        return hash(PowerSpectrum)


class Balance(nn.Module):
    """Compares the energy above the crossover with that below it."""

    def forward(self, power: Tensor) -> Tensor:
        """Map power spectra (batch, bins) to the logits of dark and bright, (batch, 2)."""
        bin_hz = RATE_HZ / 2 / (power.shape[1] - 1)
        crossover = round(CROSSOVER_HZ / bin_hz)
        low, high = power[:, :crossover], power[:, crossover:]
        odds = torch.log(high.sum(dim=1) + 1e-6) - torch.log(low.sum(dim=1) + 1e-6)
        return torch.stack([-odds, odds], dim=1)


def load(model: Model, path: Path | None, device: torch.device | str) -> Tagger:
    """Return the tagger, which has no weights to load from `path`."""
    network = Balance().eval()
    tags = ("dark", "bright")
    tagger = Tagger(
        model.name, str(model.data), RATE_HZ, WINDOW_SAMPLES, tags, PowerSpectrum(), network, "none"
    )
    return tagger.to(device)
