"""The soft mask: parity with the published code, and what a mask can and cannot do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.golden import signal
from tagbox.audio.stft import istft, stft
from tagbox.methods.masks import MixtureSpectrum, apply_mask, soft_mask
from tagbox.methods.nmf import component_masks, factorise


@pytest.mark.parametrize("n_fft", [512, 1024, 2048])
def test_masked_audio_matches_the_published_code(shared: Path, n_fft: int) -> None:
    golden = np.load(shared / "golden" / "masks.npz")
    mixture, generated = (torch.from_numpy(golden[name]) for name in ("mixture", "generated"))
    masked = MixtureSpectrum.of(mixture, n_fft).masked(generated)
    torch.testing.assert_close(masked, torch.from_numpy(golden[f"masked/{n_fft}"]), atol=1e-5, rtol=0)


@given(seed=st.integers(0, 99), gain=st.floats(0, 1e3))
@settings(max_examples=20, deadline=None)
def test_a_mask_only_takes_away(seed: int, gain: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    mixture, generated = torch.rand(2, 33, 20, generator=generator)
    mask = soft_mask(mixture, generated * gain)
    assert mask.min() >= 0
    assert mask.max() <= 1


def test_a_louder_generator_lets_everything_through() -> None:
    mixture = torch.from_numpy(signal(8192, 44100, 0))
    masked = MixtureSpectrum.of(mixture, 512).masked(10 * mixture)
    torch.testing.assert_close(masked, mixture, atol=1e-4, rtol=0)


def test_a_silent_generator_lets_nothing_through() -> None:
    mixture = torch.from_numpy(signal(8192, 44100, 0))
    assert MixtureSpectrum.of(mixture, 512).masked(torch.zeros_like(mixture)).abs().max() == 0


def test_gradients_reach_the_generated_audio_even_where_it_is_silent() -> None:
    mixture = torch.from_numpy(signal(8192, 44100, 0))
    generated = torch.cat([torch.zeros(4096), 0.3 * mixture[4096:]]).requires_grad_(True)
    MixtureSpectrum.of(mixture, 512).masked(generated).square().sum().backward()
    assert torch.isfinite(generated.grad).all()
    assert generated.grad[5000:].abs().max() > 0


def test_the_mask_is_the_same_for_every_channel() -> None:
    mono = torch.from_numpy(signal(8192, 44100, 0))
    mask = MixtureSpectrum.of(mono, 1024).mask(0.5 * mono)
    left, right = apply_mask(mask, torch.stack([mono, 0.25 * mono]), 1024)
    torch.testing.assert_close(0.25 * left, right, atol=1e-6, rtol=0)


def test_components_add_up_to_the_mixture_and_follow_their_seed() -> None:
    spectrum = stft(torch.from_numpy(signal(16384, 44100, 0)), 1024)
    first, again, other = (component_masks(*factorise(spectrum.abs(), 5, 10, seed)) for seed in (0, 0, 1))
    torch.testing.assert_close(first.sum(dim=0), torch.ones_like(first[0]))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_factorisation_finds_two_notes_that_take_turns() -> None:
    rate, half = 16000, 8000
    t = torch.arange(2 * half) / rate
    low, high = torch.sin(2 * torch.pi * 440 * t), torch.sin(2 * torch.pi * 2000 * t)
    low[half:], high[:half] = 0, 0
    spectrum = stft(low + high, 512)
    owned = component_masks(*factorise(spectrum.abs(), 2, 100, 0))
    parts = istft(owned * spectrum, 512, 2 * half)
    best = max(
        (parts[0] - x).norm() + (parts[1] - y).norm() < 0.1 * low.norm()
        for x, y in ((low, high), (high, low))
    )
    assert best


def test_more_updates_never_raise_the_divergence() -> None:
    magnitude = stft(torch.from_numpy(signal(16384, 44100, 0)), 1024).abs()

    def divergence(iterations: int) -> float:
        shapes, activations = factorise(magnitude, 4, iterations, 0)
        model = shapes @ activations + 1e-8
        return float((magnitude * ((magnitude + 1e-8) / model).log() - magnitude + model).sum())

    values = [divergence(n) for n in (1, 5, 20, 80)]
    assert values == sorted(values, reverse=True)
