"""The listener: what it hears, and gates that begin where it hears them."""

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


def share(listener: Tagger, heard: Tensor, tag: str) -> float:
    return float(listener(heard[None]).probabilities[0, listener.tags.index(tag)])


def test_shares_add_up_and_families_are_the_sum_of_their_classes(listener: Tagger) -> None:
    heard = torch.sigmoid(listener.logits(stem("band/mixture.flac")[None, :WINDOW_SAMPLES])[0, 0])
    said = dict(zip(listener.tags, heard.tolist(), strict=True))
    assert sum(said[one] for one in RENDERED_CLASSES) == pytest.approx(1, abs=0.01)
    for family, members in RENDERED_FAMILIES.items():
        assert said[family] == pytest.approx(sum(said[one] for one in members), abs=0.01)


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("duet/violin.flac", "violin"),
        ("duet/piano.flac", "piano"),
        ("band/bass.flac", "bass"),
        ("band/drums.flac", "drums"),
    ],
)
def test_a_stem_is_heard_as_what_it_is(listener: Tagger, name: str, tag: str) -> None:
    assert share(listener, stem(name), tag) > 0.4


def test_more_of_a_source_is_a_larger_share(listener: Tagger) -> None:
    violin, piano = stem("duet/violin.flac"), stem("duet/piano.flac")
    piano = piano * (violin.norm() / piano.norm())
    shares = [share(listener, gain * violin + (1 - gain) * piano, "violin") for gain in (0.0, 0.3, 0.7, 1.0)]
    assert shares == sorted(shares)
    assert shares[-1] - shares[0] > 0.4


def test_the_gradient_wants_more_of_the_source_and_less_of_the_other(listener: Tagger) -> None:
    parts = torch.stack([stem("duet/violin.flac"), stem("duet/piano.flac")])
    gates = torch.tensor([0.6, 0.6], requires_grad=True)
    logits = listener.logits((gates @ parts)[None])
    logits[..., listener.tags.index("violin")].mean().backward()
    assert gates.grad is not None
    assert gates.grad[0] > 0 > gates.grad[1]


def test_gain_changes_nothing(listener: Tagger) -> None:
    heard = stem("duet/mixture.flac")[None, :WINDOW_SAMPLES]
    torch.testing.assert_close(listener.logits(heard), listener.logits(0.01 * heard), rtol=0, atol=0.02)


def test_silence_has_finite_answers_and_gradients(listener: Tagger) -> None:
    silence = torch.zeros(1, WINDOW_SAMPLES, requires_grad=True)
    logits = listener.logits(silence)
    logits.sum().backward()
    assert bool(torch.isfinite(logits).all())
    assert silence.grad is not None
    assert bool(torch.isfinite(silence.grad).all())


def test_what_was_learnt_is_the_same_without_its_norms() -> None:
    torch.manual_seed(0)
    learning = Listener(learning=True)
    seen = NormalisedMel()(torch.randn(3, WINDOW_SAMPLES))
    for _ in range(3):
        learning(seen)
    learning.eval()
    plain = Listener()
    plain.load_state_dict(fold_batch_norms(learning.state_dict()))
    torch.testing.assert_close(plain(seen), learning(seen), rtol=1e-3, atol=1e-3)


def test_a_decision_is_four_frames() -> None:
    seen = NormalisedMel()(torch.randn(1, WINDOW_SAMPLES))
    assert sum_frames(seen).shape[-1] == Listener().class_logits(seen).shape[-1] == 24


def test_gates_begin_as_each_component_is_heard(listener: Tagger) -> None:
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


def test_shares_are_read_in_company() -> None:
    # Two classes that are there, and a third that two components sound a little like.
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


def test_taggers_without_shares_are_refused_in_a_line() -> None:
    read = audio.read(EXAMPLES / "duet/mixture.flac", 3.0, 3.0)
    with pytest.raises(TagBoxError, match=r"add rendered/listener"):
        tagbox.separate(read.samples, read.rate, ["violin"], taggers=("mtat/pons-musicnn",))


def test_listening_to_each_component_separates() -> None:
    read = audio.read(EXAMPLES / "duet/mixture.flac", 3.0, 6.0)
    truth = audio.read(EXAMPLES / "duet/violin.flac", 3.0, 6.0).samples
    how = {"taggers": ("rendered/listener",), "begin": "heard", "factorisations": 2, "steps": 1}
    found = tagbox.separate(read.samples, read.rate, ["violin"], **how)
    assert si_sdr(found.sources["violin"], truth) > si_sdr(read.samples, truth) + 1.5
