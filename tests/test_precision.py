"""Lower precision and less memory change neither what is steered nor, much, where to."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import tagbox
from benchmarks.golden import recipe_weights
from tagbox import audio
from tagbox.errors import TagBoxError
from tagbox.generators import pretrained
from tagbox.generators.pretrained import VQVAEGenerator
from tagbox.generators.vqvae import VQVAEConfig
from tagbox.kernels import devices

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def generator() -> VQVAEGenerator:
    config = VQVAEConfig(widths=(16, 8), depths=(6, 2), halvings=(2, 1), dimensions=8, entries=32)
    weights = recipe_weights(pretrained.expected_shapes(config))
    return pretrained.from_state_dict("small", weights, config, "cpu", "recipe", "MIT")


def gradient(generator: VQVAEGenerator, latents: Tensor) -> Tensor:
    moved = latents.clone().requires_grad_()
    decoded = generator.decode(moved)
    decoded.square().sum().backward()
    assert moved.grad is not None
    return moved.grad


def test_a_frozen_decoder_keeps_little_for_the_way_back(generator: VQVAEGenerator) -> None:
    latents = torch.randn(1, 8, 4000).requires_grad_()
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        generator.decode(latents)
    activations = 2 * 6 * 16 * (4000 + 8000)  # two of each of six blocks, at both of the stages' rates
    weights = sum(parameter.numel() for parameter in generator.model.decoders.parameters())
    # A byte instead of four, and what the convolutions between the stacks keep.
    assert kept < 4 * (0.3 * activations + weights)


def test_bfloat16_decodes_almost_the_same_and_leaves_encoding_alone(generator: VQVAEGenerator) -> None:
    lowered = generator.to_precision(torch.bfloat16)
    latents = torch.randn(1, 8, 200, generator=torch.Generator().manual_seed(0))
    exact, rough = generator.decode(latents), lowered.decode(latents)
    assert rough.dtype == torch.float32
    assert 0 < float((rough - exact).norm() / exact.norm()) < 0.02
    towards = functional.cosine_similarity(
        gradient(generator, latents).flatten(), gradient(lowered, latents).flatten(), dim=0
    )
    assert towards > 0.99
    mono = torch.randn(1, 1, 800, generator=torch.Generator().manual_seed(1))
    assert torch.equal(generator.encode(mono), lowered.encode(mono))
    assert generator.to_precision(torch.float32) is generator


@pytest.mark.parametrize("name", ["pons-musicnn", "pons-vgg"])
def test_taggers_in_bfloat16_hear_almost_the_same(name: str) -> None:
    tagger = tagbox.load_tagger(name, "mtat")
    recording = audio.read(EXAMPLES / "duet" / "mixture.flac", 3, 4)
    mono = audio.resample(recording.samples, recording.rate, tagger.rate)
    with torch.no_grad():
        exact, rough = tagger(mono).probabilities, tagger.to_precision(torch.bfloat16)(mono).probabilities
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0)
    assert not torch.equal(rough, exact)
    assert tagger.to_precision(torch.float32) is tagger


def test_precisions_by_name() -> None:
    cpu = torch.device("cpu")
    assert devices.select_dtype("float32", cpu) == torch.float32
    assert devices.select_dtype("bfloat16", cpu) == torch.bfloat16
    assert devices.select_dtype("auto", cpu) in (torch.float32, torch.bfloat16)
    assert devices.select_dtype("auto", torch.device("mps")) == torch.float32
    with pytest.raises(TagBoxError, match="auto, float32, bfloat16"):
        devices.select_dtype("half", cpu)
