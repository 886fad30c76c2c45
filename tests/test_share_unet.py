"""The network that answers for every moment and band, and what it hears."""

import pytest
import torch
from torch import Tensor

from tagbox.taggers.networks.share_unet import (
    FEATURES,
    GRID,
    OF_SIDES,
    ShareUNet,
    features,
    folded,
    shares,
)
from tagbox.tags.vocabularies import RENDERED_CLASSES

CLASSES = len(RENDERED_CLASSES)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small() -> ShareUNet:
    torch.manual_seed(0)
    return ShareUNet(channels=(8, 8, 16, 16, 16), hidden=16).eval()


def test_the_grid_covers_all_but_the_last_bin() -> None:
    assert sum(GRID.widths) == GRID.fft // 2
    assert GRID.bands == len(GRID.widths) == 320
    assert GRID.rows == 160


def test_bands_and_patches_keep_the_energy() -> None:
    power = noise(2, GRID.fft // 2, 10).square()
    patches = GRID.into_patches(GRID.into_bands(power))
    assert patches.shape == (2, 160, 3)
    assert torch.allclose(patches.sum((1, 2)), power.sum((1, 2)), rtol=1e-4)


def test_every_bin_gets_the_value_of_its_patch() -> None:
    patches = torch.arange(160 * 3.0).reshape(1, 160, 3)
    mask = GRID.over_bins(patches, frames=11)
    assert mask.shape == (1, GRID.fft // 2 + 1, 11)
    # Summed over a patch again, the value is there as often as the patch has bins and frames.
    again = GRID.into_patches(GRID.into_bands(mask[:, :, :8]))
    ones = GRID.into_patches(GRID.into_bands(torch.ones(1, GRID.fft // 2, 8)))
    assert torch.allclose(again / ones, patches[..., :2])


def test_the_transform_goes_there_and_back() -> None:
    audio = noise(2, 2, 20_000)
    assert torch.allclose(GRID.istft(GRID.stft(audio), 20_000), audio, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
def test_features_have_a_column_for_every_four_frames(channels: int) -> None:
    heard = features(GRID.stft(noise(3, channels, 50_000)))
    frames = 50_000 // GRID.hop_length + 1
    assert heard.shape == (3, FEATURES, 160, -(-frames // 4))
    assert heard.isfinite().all()


def test_gain_changes_nothing() -> None:
    audio = noise(1, 2, 50_000)
    assert torch.allclose(features(GRID.stft(audio)), features(GRID.stft(30 * audio)), atol=1e-3)


def test_silence_is_heard_as_silence() -> None:
    assert features(GRID.stft(torch.zeros(1, 2, 50_000))).isfinite().all()


def test_mono_is_heard_as_two_equal_channels() -> None:
    mono = noise(1, 1, 50_000)
    assert torch.equal(features(GRID.stft(mono)), features(GRID.stft(mono.expand(1, 2, -1))))


def test_swapped_channels_change_the_signs_of_the_sides_alone() -> None:
    audio = noise(1, 2, 50_000)
    heard, swapped = features(GRID.stft(audio)), features(GRID.stft(audio.flip(1)))
    signs = torch.ones(FEATURES)
    signs[list(OF_SIDES)] = -1
    assert torch.allclose(heard * signs[:, None, None], swapped, atol=1e-4)


def test_a_source_on_the_left_is_told_from_one_on_the_right() -> None:
    left = torch.stack([noise(50_000), torch.zeros(50_000)])[None]
    balance = features(GRID.stft(left))[0, OF_SIDES[0]]
    assert balance.mean() > 0.99


@pytest.mark.parametrize("samples", [100, 5_000, 131_072, 300_001])
def test_shares_of_any_length_add_up_to_one(samples: int) -> None:
    audio = noise(1, 2, samples)
    with torch.no_grad():
        answers, energy = shares(small(), audio)
    frames = max(samples, GRID.fft) // GRID.hop_length + 1
    assert answers.shape == (1, CLASSES, 160, -(-frames // 4))
    assert energy.shape == (1, 160, -(-frames // 4))
    assert torch.allclose(answers.sum(1), torch.ones_like(energy), atol=1e-5)
    assert answers.min() >= 0


def test_recordings_of_a_batch_do_not_hear_each_other() -> None:
    audio = noise(2, 2, 200_000)
    network = small()
    with torch.no_grad():
        both, _ = shares(network, audio)
        alone, _ = shares(network, audio[1:])
    assert torch.allclose(both[1:], alone, atol=1e-5)


def test_the_gradient_reaches_the_waveform() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        network = small().double()
        audio = noise(1, 2, 9_000).double()
        way = noise(1, 2, 9_000, seed=1).double()
        way /= way.norm()

        def answer(x: Tensor) -> Tensor:
            said, energy = shares(network, x)
            return (said[:, 3] * energy).sum() / energy.sum()

        audio.requires_grad_()
        (gradient,) = torch.autograd.grad(answer(audio), audio)
        step = 1e-4
        with torch.no_grad():
            differs = (answer(audio + step * way) - answer(audio - step * way)) / (2 * step)
        assert gradient.abs().max() > 0
        assert torch.allclose((gradient * way).sum(), differs, rtol=1e-3, atol=1e-10)
    finally:
        torch.set_default_dtype(torch.float32)


def test_folded_weights_answer_as_those_with_norms() -> None:
    torch.manual_seed(1)
    learning = ShareUNet(channels=(8, 8, 16, 16, 16), hidden=16, learning=True)
    heard = noise(4, FEATURES, 160, 32)
    learning(heard)  # so that the norms have seen something
    learning.eval()
    plain = small()
    plain.load_state_dict(folded(learning.state_dict()))
    with torch.no_grad():
        assert torch.allclose(learning(heard), plain(heard), atol=1e-4)


def test_the_weights_as_half_floats_are_small() -> None:
    count = sum(value.numel() for value in ShareUNet().state_dict().values())
    assert 2 * count < 10e6
