"""Jukebox's VQ-VAE against its published outputs; checkpoints good and bad; quantisers."""

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.golden import recipe_weights, signal
from tagbox import models
from tagbox.errors import InvalidWeightsError, TagBoxError
from tagbox.generators import ema_codebook, jukebox, pretrained, quantisers
from tagbox.generators.pretrained import VQVAEGenerator
from tagbox.generators.vqvae import JUKEBOX, VQVAEConfig
from tagbox.kernels.nearest_entries import nearest_entries
from tagbox.weights import checkpoint_reader

SMALL = VQVAEConfig(widths=(4, 4), depths=(2, 2), halvings=(2, 1), dimensions=6, entries=9)


@pytest.fixture(scope="module")
def full_size() -> VQVAEGenerator:
    """Jukebox's design with the golden files' recipe weights."""
    weights = recipe_weights(jukebox.expected_shapes())
    return pretrained.from_state_dict("jukebox", weights, JUKEBOX, "cpu", "recipe", jukebox.LICENCE)


@pytest.fixture
def small() -> VQVAEGenerator:
    weights = recipe_weights(pretrained.expected_shapes(SMALL))
    return pretrained.from_state_dict("small", weights, SMALL, "cpu", "recipe", "MIT")


def relative(ours: Tensor, theirs: np.ndarray) -> float:
    return float(np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max())


def test_names_and_shapes_are_the_published_ones(shared: Path) -> None:
    published = json.loads((shared / "golden" / "jukebox_vqvae_state_dict.json").read_text())
    assert jukebox.expected_shapes() == {name: tuple(shape) for name, shape in published.items()}
    assert sum(int(np.prod(shape)) for shape in published.values()) == 1_878_979


@pytest.mark.parametrize("level", [0, 1, 2])
def test_parity_with_the_published_vqvae(shared: Path, full_size: VQVAEGenerator, level: int) -> None:
    golden = np.load(shared / "golden" / "jukebox_vqvae.npz")
    audio = torch.from_numpy(signal(32768, 44100, 0))[None, None]
    with torch.no_grad():
        latents = full_size.encode(audio, level)
        codes, entries = full_size.quantise(latents, level)
        decoded = full_size.decode(entries, level)[0, 0]
        unquantised = full_size.decode(latents, level)[0, 0]
    assert latents.shape[-1] * full_size.hops[level] == audio.shape[-1]
    assert relative(latents[0, :, :64], golden[f"latent/{level}"]) < 1e-4
    assert relative(latents[0].sum(dim=-1), golden[f"latent_sum/{level}"]) < 1e-4
    assert np.array_equal(codes[0].numpy(), golden[f"codes/{level}"])
    assert relative(decoded, golden[f"audio/{level}"]) < 1e-4
    assert relative(unquantised, golden[f"audio_unquantised/{level}"]) < 1e-4


def test_gradients_reach_the_latents(full_size: VQVAEGenerator) -> None:
    latents = torch.randn(1, 64, 16, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    full_size.decode(latents).square().sum().backward()
    assert torch.isfinite(latents.grad).all()
    assert latents.grad.abs().min(dim=1).values.max() > 0


def test_one_level_is_all_that_is_computed(full_size: VQVAEGenerator) -> None:
    called: list[int] = []
    hooks = [
        part[level].register_forward_hook(lambda *_, level=level: called.append(level))
        for part in (full_size.model.encoders, full_size.model.decoders)
        for level in range(3)
    ]
    full_size.decode(full_size.encode(torch.zeros(1, 1, 256), 1), 1)
    for hook in hooks:
        hook.remove()
    assert called == [1, 1]


# -- checkpoints


def official(prefix: str = "") -> dict[str, object]:
    """A checkpoint of the published form."""
    weights = recipe_weights(jukebox.expected_shapes())
    return {
        "model": OrderedDict((prefix + name, value) for name, value in weights.items()),
        "hps": {"levels": 3, "width": 32},
        "step": 1234,
        "opt": None,
    }


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [True, False])
def test_the_published_checkpoints_form_is_read(tmp_path: Path, prefix: str, zipped: bool) -> None:
    path = tmp_path / "vqvae.pth.tar"
    torch.save(official(prefix), path, _use_new_zipfile_serialization=zipped)
    weights = checkpoint_reader.read_state_dict(path)
    expected = recipe_weights(jukebox.expected_shapes())
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_other_weights_are_refused(small: VQVAEGenerator) -> None:
    name = "decoders.0.out.weight"
    state = small.model.state_dict()
    missing = {key: value for key, value in state.items() if key != name}
    for changed, words in (
        (missing, f"without {name}"),
        ({**state, name: torch.zeros(1, 64, 5)}, r"decoders\.0\.out\.weight .*\(1, 64, 5\).*\(1, 6, 3\)"),
        ({**state, "extra": torch.zeros(1)}, "with extra"),
        ({**state, name: torch.full((1, 6, 3), torch.nan)}, f"{name} is not finite"),
    ):
        with pytest.raises(InvalidWeightsError, match=words):
            pretrained.from_state_dict("small", changed, SMALL, "cpu", "recipe", "MIT")


def test_a_checkpoint_without_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vqvae.pth.tar"
    for content, words in (
        ({"model": {"a": 1}}, r"more than weights \(a\)"),
        ([1, 2], "no weights by name"),
        ({"model": {}}, "no weights"),
    ):
        torch.save(content, path)
        with pytest.raises(InvalidWeightsError, match=words):
            checkpoint_reader.read_state_dict(path)


def test_a_generator_survives_its_file(tmp_path: Path, small: VQVAEGenerator) -> None:
    path = tmp_path / "mine.safetensors"
    pretrained.save_generator_file(small.model, path, "MIT", {"made": "in a test"})
    again = models.load_generator(str(path))
    assert again.name == "mine"
    assert again.licence == "MIT"
    assert tuple(again.hops) == (4, 8)
    audio = torch.from_numpy(signal(64, 44100, 0))[None, None]
    torch.testing.assert_close(again.encode(audio, 1), small.encode(audio, 1), atol=1e-2, rtol=1e-2)
    with pytest.raises(TagBoxError, match="--force"):
        pretrained.save_generator_file(small.model, path, "MIT", {})


def test_a_file_that_is_no_generator_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.safetensors"
    text.write_text("not weights")
    with pytest.raises(TagBoxError, match="holds no generator"):
        models.load_generator(str(text))
    with pytest.raises(TagBoxError, match=r"'jukebx'.*embedded, jukebox"):
        models.load_generator("jukebx")
    with pytest.raises(TagBoxError, match="train-generator"):
        models.load_generator(str(tmp_path / "none.safetensors"))


# -- quantisers


def latents_of(count: int, seed: int = 0) -> Tensor:
    return torch.randn(1, 6, count, generator=torch.Generator().manual_seed(seed)).requires_grad_(True)


def test_the_nearest_entry_is_the_nearest() -> None:
    latents, codebook = latents_of(50).detach(), torch.randn(9, 6, generator=torch.Generator().manual_seed(1))
    codes, entries = nearest_entries(latents, codebook)
    distances = torch.cdist(latents[0].T, codebook)
    assert torch.equal(codes[0], distances.argmin(dim=1))
    assert torch.equal(entries[0].T, codebook[codes[0]])


def test_straight_through_plays_entries_and_passes_gradients_as_they_are(small: VQVAEGenerator) -> None:
    latents, before = latents_of(20), small.codebook(0).clone()
    decoded = quantisers.make_quantiser("straight-through", small, 0, seed=0)(latents)
    torch.testing.assert_close(decoded, small.quantise(latents.detach())[1])
    weights = torch.arange(decoded.numel()).view_as(decoded).float()
    (decoded * weights).sum().backward()
    assert torch.equal(latents.grad, weights)
    assert torch.equal(small.codebook(0), before)


def test_no_quantiser_changes_nothing(small: VQVAEGenerator) -> None:
    latents = latents_of(20)
    assert quantisers.make_quantiser("none", small, 0, seed=0)(latents) is latents


def test_the_published_quantiser_replaces_the_codebook_by_the_recordings_latents(
    small: VQVAEGenerator,
) -> None:
    latents, before = latents_of(20), small.codebook(0).clone()
    quantise = quantisers.TrainingModeQuantiser(small, 0, seed=0)
    first = quantise(latents)
    # Nine of the twenty latents are the codebook now: these are played exactly.
    exact = (first - latents).abs().amax(dim=1)[0] < 1e-6
    assert int(exact.sum()) == 9
    assert torch.equal(small.codebook(0), before)
    moved = quantise.averages.codebook
    quantise(latents)
    assert not torch.equal(quantise.averages.codebook, moved)


def test_too_few_latents_are_tiled_with_noise() -> None:
    latents = latents_of(4).detach()[0].T
    entries = ema_codebook.sample_latents(latents, 9, torch.Generator().manual_seed(0))
    assert entries.shape == (9, 6)
    assert len(torch.unique(entries, dim=0)) == 9
    assert torch.cdist(entries, latents).amin(dim=1).max() < 0.1


def test_entries_follow_their_latents_and_dead_ones_are_revived() -> None:
    random = torch.Generator().manual_seed(0)
    latents = torch.cat([torch.zeros(500, 2), torch.ones(500, 2)]) + 0.01 * torch.randn(
        1000, 2, generator=random
    )
    # One entry between the clusters and nearer to the ones, one that nothing will ever choose.
    codebook = torch.tensor([[0.8, 0.8], [50.0, 50.0]])
    state = ema_codebook.EmaCodebook(codebook, torch.ones(2), codebook)
    codes, _ = nearest_entries(latents.T[None], state.codebook)
    state = ema_codebook.update_codebook(state, latents, codes.flatten(), random)
    alive, revived = state.codebook
    # gamma * 0.8 + (1 - gamma) * sum over gamma * 1 + (1 - gamma) * count
    expected = (0.99 * 0.8 + 0.01 * latents.sum(dim=0)) / (0.99 + 0.01 * 1000)
    torch.testing.assert_close(alive, expected)
    assert (latents - revived).abs().amax(dim=1).min() == 0


def test_quantisers_are_found_by_name(small: VQVAEGenerator) -> None:
    with pytest.raises(TagBoxError, match=r"'frozen'.*straight-through, none or published"):
        quantisers.make_quantiser("frozen", small, 0, seed=0)
