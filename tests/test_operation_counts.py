"""Count the operations of a step, so that waste shows without a clock."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tagbox
from benchmarks.golden import recipe_weights
from tagbox import audio
from tagbox.generators import pretrained
from tagbox.generators.pretrained import VQVAEGenerator
from tagbox.generators.quantisers import make_quantiser
from tagbox.generators.vqvae import VQVAE, VQVAEConfig
from tagbox.methods.components import decompose
from tagbox.methods.gates import Gates
from tagbox.methods.latents import LatentMask
from tagbox.methods.steerable import Steerable
from tagbox.methods.steering import steer
from tagbox.settings import Settings
from tagbox.taggers.tagger import Tagger, predict_logits

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIZES = (512, 1024, 2048)
STEPS = 3


VIEWS = {
    "slice",
    "select",
    "view",
    "detach",
    "transpose",
    "permute",
    "unbind",
    "expand",
    "unsqueeze",
    "squeeze",
}
"""Operations that compute nothing."""


class Kernels(TorchDispatchMode):
    """Counts every operation that computes, forward and backward, and what only training needs by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = function.overloadpacket.__name__
        self.counts[name] += name not in VIEWS
        if name == "convolution_backward" and any(args[-1][1:]):
            self.counts["gradient of a weight"] += 1
        return function(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def mono() -> torch.Tensor:
    return audio.read(EXAMPLES / "duet" / "mixture.flac", 3, 2).samples[0]


@pytest.fixture(scope="module")
def generator() -> VQVAEGenerator:
    config = VQVAEConfig(widths=(8, 8, 8), depths=(2, 2, 2), halvings=(3, 2, 2), dimensions=8, entries=16)
    weights = recipe_weights(pretrained.expected_shapes(config))
    return pretrained.from_state_dict("small", weights, config, "cpu", "recipe", "MIT")


@pytest.fixture(scope="module")
def taggers() -> list[Tagger]:
    return [tagbox.load_tagger("pons-musicnn", "mtat"), tagbox.load_tagger("pons-vgg", "mtat")]


def counted(steerable: Steerable, taggers: list[Tagger], objective: str) -> Counter[str]:
    """Count the operations of one step: from a run of one step to a run of `STEPS` more, divided by them."""
    targets = [torch.tensor([[float(tag == "violin") for tag in tagger.tags]]) for tagger in taggers]
    totals = []
    for steps in (1, 1 + STEPS):
        with Kernels() as kernels:
            steer(steerable, taggers, targets, Settings(objective=objective, steps=steps, lr=0.01))
        totals.append(kernels.counts)
    return Counter({name: (totals[1][name] - totals[0][name]) // STEPS for name in totals[1]})


def test_a_step_of_the_latents_decodes_once_and_takes_each_stft_once(
    mono: torch.Tensor, generator: VQVAEGenerator, taggers: list[Tagger], monkeypatch: pytest.MonkeyPatch
) -> None:
    decodes: Counter[int] = Counter()
    decode = VQVAE.decode

    def counting(self: VQVAE, latents: torch.Tensor, level: int = 0) -> torch.Tensor:
        decodes[level] += 1
        return decode(self, latents, level)

    monkeypatch.setattr(VQVAE, "decode", counting)
    latents = LatentMask(generator, mono, 0, make_quantiser("straight-through", generator, 0, 0), SIZES)
    step = counted(latents, taggers, "cross-entropy")
    assert decodes == {0: 2 + STEPS}, "one decode a step, of one level"
    # Forward: the generated audio at each FFT size, and one spectrogram that both taggers share. Each has one
    # transform in the backward pass, as has each inverse.
    sizes, frontends = len(SIZES), 1
    assert step["_fft_r2c"] + step["_fft_c2c"] + step["_fft_c2r"] <= 2 * (sizes + sizes + frontends)
    assert step["_fft_r2c"] >= sizes + frontends
    convolutions = sum(count for name, count in step.items() if "conv" in name and "reorder" not in name)
    decoder = sum(isinstance(module, torch.nn.Conv1d) for module in generator.model.decoders[0].modules())
    # A block has two forward, one for what was not saved, two backward; a tagger has a dozen at the most.
    assert convolutions < 2.5 * decoder + 2 * 24
    assert step["gradient of a weight"] == 0
    assert step["amax"] <= 4, "tall filters are pooled: searching for their maxima again costs passes"


def test_a_step_of_the_gates_takes_no_stft_of_the_mixture(mono: torch.Tensor, taggers: list[Tagger]) -> None:
    components = decompose(mono, 44_100, 8, 1, 2048, 16_000, seed=0, iterations=2)
    gates = Gates(components, 1)
    step = counted(gates, taggers, "two-sided")
    assert step["_fft_r2c"] == 1, "the front end's, of source and residual together"
    assert step["_fft_c2r"] + step["_fft_c2c"] <= 1
    assert sum(step.values()) < 650


def test_taggers_that_share_a_front_end_share_one_spectrogram(
    mono: torch.Tensor, taggers: list[Tagger]
) -> None:
    resampled = audio.resample(mono[None], 44_100, 16_000)
    with torch.no_grad(), Kernels() as both:
        predict_logits(taggers, resampled)
    assert both.counts["_fft_r2c"] == 1
