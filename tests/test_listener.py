"""The listener: shares of energy, and gates that are inferred from them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import tagbox
from tagbox import audio
from tagbox.audio.resampling import resample
from tagbox.errors import TagBoxError
from tagbox.evaluation.metrics import si_sdr
from tagbox.methods.gate_inference import gates_within_segment, infer_gates
from tagbox.models import load_tagger
from tagbox.taggers.networks.listener import (
    WINDOW_SAMPLES,
    Listener,
    NormalisedMel,
    fold_batch_norms,
    sum_frames,
)
from tagbox.taggers.tagger import Tagger
from tagbox.tags.vocabularies import RENDERED_CLASSES, RENDERED_FAMILIES

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RATE = 16000


@pytest.fixture(scope="module")
def listener() -> Tagger:
    return load_tagger("listener", "rendered")


def stem(name: str, start: float = 3.0, duration: float = 6.0) -> Tensor:
    """Mono (samples,) at 16 kHz."""
    read = audio.read(EXAMPLES / name, start, duration)
    return resample(read.samples.mean(dim=0), read.rate, RATE)


def share(listener: Tagger, samples: Tensor, tag: str) -> float:
    return float(listener(samples[None]).probabilities[0, listener.tags.index(tag)])


def test_shares_add_up_and_families_are_the_sum_of_their_classes(listener: Tagger) -> None:
    predicted = torch.sigmoid(listener.logits(stem("band/mixture.flac")[None, :WINDOW_SAMPLES])[0, 0])
    shares = dict(zip(listener.tags, predicted.tolist(), strict=True))
    assert sum(shares[name] for name in RENDERED_CLASSES) == pytest.approx(1, abs=0.01)
    for family, members in RENDERED_FAMILIES.items():
        assert shares[family] == pytest.approx(sum(shares[name] for name in members), abs=0.01)


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("duet/violin.flac", "violin"),
        ("duet/piano.flac", "piano"),
        ("band/bass.flac", "bass"),
        ("band/drums.flac", "drums"),
    ],
)
def test_a_stem_has_a_large_share_of_its_instrument(listener: Tagger, name: str, tag: str) -> None:
    assert share(listener, stem(name), tag) > 0.4


def test_more_of_a_source_is_a_larger_share(listener: Tagger) -> None:
    violin, piano = stem("duet/violin.flac"), stem("duet/piano.flac")
    piano = piano * (violin.norm() / piano.norm())
    shares = [share(listener, gain * violin + (1 - gain) * piano, "violin") for gain in (0.0, 0.3, 0.7, 1.0)]
    assert shares == sorted(shares)
    assert shares[-1] - shares[0] > 0.4


def test_the_gradient_raises_the_source_and_lowers_the_other(listener: Tagger) -> None:
    parts = torch.stack([stem("duet/violin.flac"), stem("duet/piano.flac")])
    gates = torch.tensor([0.6, 0.6], requires_grad=True)
    logits = listener.logits((gates @ parts)[None])
    logits[..., listener.tags.index("violin")].mean().backward()
    assert gates.grad is not None
    assert gates.grad[0] > 0 > gates.grad[1]


def test_gain_changes_nothing(listener: Tagger) -> None:
    mixture = stem("duet/mixture.flac")[None, :WINDOW_SAMPLES]
    torch.testing.assert_close(listener.logits(mixture), listener.logits(0.01 * mixture), rtol=0, atol=0.02)


def test_silence_has_finite_logits_and_gradients(listener: Tagger) -> None:
    silence = torch.zeros(1, WINDOW_SAMPLES, requires_grad=True)
    logits = listener.logits(silence)
    logits.sum().backward()
    assert bool(torch.isfinite(logits).all())
    assert silence.grad is not None
    assert bool(torch.isfinite(silence.grad).all())


def test_folding_the_batch_norms_changes_nothing() -> None:
    torch.manual_seed(0)
    learning = Listener(learning=True)
    spectrogram = NormalisedMel()(torch.randn(3, WINDOW_SAMPLES))
    for _ in range(3):
        learning(spectrogram)
    learning.eval()
    plain = Listener()
    plain.load_state_dict(fold_batch_norms(learning.state_dict()))
    torch.testing.assert_close(plain(spectrogram), learning(spectrogram), rtol=1e-3, atol=1e-3)


def test_a_prediction_is_for_four_frames() -> None:
    spectrogram = NormalisedMel()(torch.randn(1, WINDOW_SAMPLES))
    assert sum_frames(spectrogram).shape[-1] == Listener().class_logits(spectrogram).shape[-1] == 24


def test_gates_follow_the_prediction_for_each_component(listener: Tagger) -> None:
    parts = torch.stack([stem("duet/violin.flac"), stem("duet/piano.flac")])
    gates = infer_gates(parts, [listener], [(("violin",),)], "repeat")
    assert gates.shape == (2, 2)
    torch.testing.assert_close(gates.sum(dim=0), torch.ones(2))
    assert gates[0, 0] > 0.5 > gates[0, 1]


def test_sources_that_claim_the_same_component_share_it(listener: Tagger) -> None:
    parts = stem("duet/violin.flac")[None]
    gates = infer_gates(parts, [listener], [(("violin",),), (("violin",),)], "repeat")
    torch.testing.assert_close(gates.sum(dim=0), torch.ones(1))
    torch.testing.assert_close(gates[0], gates[1])


def test_shares_of_a_segment_weigh_components_against_each_other() -> None:
    # Two classes that are present, and a third that two components resemble a little.
    shares = torch.tensor([[0.8, 0.0, 0.2], [0.1, 0.7, 0.2]])
    energy = torch.tensor([0.5, 0.5])
    first = torch.tensor([[1.0, 0.0, 0.0]])
    gates = gates_within_segment(shares, energy, first)
    assert gates.shape == (2, 2)
    torch.testing.assert_close(gates.sum(dim=0), torch.ones(2))
    assert gates[0, 0] > 0.8
    # Of a family, each member counts.
    family = gates_within_segment(shares, energy, torch.tensor([[1.0, 0.0, 1.0]]))
    assert bool((family[0] > gates[0]).all())
    everything = gates_within_segment(shares, energy, torch.ones(1, 3))
    torch.testing.assert_close(everything[0], torch.ones(2))


def test_taggers_without_shares_are_refused() -> None:
    read = audio.read(EXAMPLES / "duet/mixture.flac", 3.0, 3.0)
    with pytest.raises(TagBoxError, match=r"add rendered/listener"):
        tagbox.separate(read.samples, read.rate, ["violin"], taggers=("mtat/pons-musicnn",))


def test_inferred_gates_separate() -> None:
    read = audio.read(EXAMPLES / "duet/mixture.flac", 3.0, 6.0)
    truth = audio.read(EXAMPLES / "duet/violin.flac", 3.0, 6.0).samples
    how = {"preset": "components", "factorisations": 2}
    found = tagbox.separate(read.samples, read.rate, ["violin"], **how)
    assert si_sdr(found.sources["violin"], truth) > si_sdr(read.samples, truth) + 1.5
