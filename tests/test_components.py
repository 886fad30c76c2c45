"""Components: factorised with pooled bins, and made into sound at the taggers' rate."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tagbox import audio
from tagbox.audio.stft import istft, stft
from tagbox.methods.components import synthesise_components
from tagbox.methods.nmf import component_masks, factorise

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def noise(samples: int, seed: int) -> Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def decibels(error: Tensor, signal: Tensor) -> float:
    return float(10 * torch.log10(error.square().sum() / signal.square().sum()))


@given(st.integers(20_000, 60_000), st.sampled_from([(44_100, 16_000), (48_000, 16_000), (44_100, 44_100)]))
@settings(max_examples=15, deadline=None)
def test_waves_are_the_inverse_stft_resampled(samples: int, rates: tuple[int, int]) -> None:
    mixture = noise(samples, samples)
    spectrum = stft(mixture, 2048)
    factors = [factorise(spectrum.abs(), size, 5, 0) for size in (3, 5)]
    masks = torch.cat([component_masks(*each) for each in factors])
    expected = audio.resample(istft(masks * spectrum, 2048, samples), *rates)
    found = synthesise_components(spectrum, factors, samples, *rates)
    assert found.shape == expected.shape
    # At the ends resamplers extend what they are given, and the two are given different rates; what lies
    # after the last frame's middle fades out.
    inside = slice(100, -100 - 1024 * rates[1] // rates[0])
    assert decibels((found - expected)[:, inside], expected[:, inside]) < -80
    assert float(found.abs().amax()) < 2 * float(expected.abs().amax()), "no click at the ends"
    for some in found.split([3, 5]):
        whole = audio.resample(mixture, *rates)
        assert decibels((some.sum(dim=0) - whole)[inside], whole[inside]) < -80


def test_pooled_bins_get_shapes_of_their_own() -> None:
    """Two sounds that take turns, both with energy in single bins of the treble only, next to each other."""
    magnitude = torch.full((1025, 60), 1e-4)
    magnitude[900, ::2] = 1.0
    magnitude[901, 1::2] = 1.0
    magnitude[100, ::2] = 1.0
    magnitude[200, 1::2] = 1.0
    shapes, activations = factorise(magnitude, 2, 100, 0)
    assert shapes.shape == (1025, 2) and activations.shape == (2, 60)
    torch.testing.assert_close((shapes @ activations)[900:902], magnitude[900:902], atol=0.02, rtol=0)


@pytest.mark.parametrize("components", [16, 32])
def test_pooling_costs_next_to_nothing(components: int) -> None:
    """Against the same updates of every bin, written out here as the paper has them."""
    mono = audio.read(EXAMPLES / "duet" / "mixture.flac", 0, 4).samples.mean(dim=0)
    magnitude = stft(mono, 2048).abs()
    random = torch.Generator().manual_seed(0)
    scale = (magnitude.mean() / components).sqrt()
    w = (torch.rand(magnitude.shape[0], components, generator=random) + 0.1) * scale
    h = (torch.rand(components, magnitude.shape[1], generator=random) + 0.1) * scale
    for _ in range(100):
        h = h * (w.T @ (magnitude / (w @ h + 1e-8))) / (w.sum(dim=0)[:, None] + 1e-8)
        w = w * ((magnitude / (w @ h + 1e-8)) @ h.T) / (h.sum(dim=1)[None, :] + 1e-8)

    def divergence(shapes: Tensor, activations: Tensor) -> float:
        model = shapes @ activations + 1e-8
        away = magnitude * ((magnitude + 1e-8) / model).log() - magnitude + model
        return float(away.sum() / magnitude.sum())

    # Another start ends several per cent away as well.
    assert divergence(*factorise(magnitude, components, 100, 0)) < 1.1 * divergence(w, h)
