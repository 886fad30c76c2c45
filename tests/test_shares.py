"""Separation by the share network, alone and together with components."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tagbox
from tagbox import audio
from tagbox.methods import steering
from tagbox.methods.share_masks import (
    LEAST_ASKED,
    apply_masks,
    asked_prior,
    masks_of,
    mean_shares,
    product_of_masks,
    raise_small_sources,
    source_shares,
)
from tagbox.models import load_tagger
from tagbox.taggers.networks.share_unet import (
    GRID,
    RATE,
    ShareUNet,
    energy_of_patches,
    features,
    power,
    shares,
)
from tagbox.tags.vocabularies import RENDERED_CLASSES

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CLASSES = len(RENDERED_CLASSES)
PRESETS = ("fast", "default")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def excerpt(name: str, seconds: float = 3.0) -> audio.Audio:
    return audio.read(EXAMPLES / name, 3.0, seconds)


# Masks


def some_shares() -> tuple[Tensor, Tensor]:
    return torch.softmax(2 * noise(CLASSES, 160, 5), dim=0), noise(160, 5, seed=1).square()


def test_sources_and_residual_share_every_patch() -> None:
    answers, energy = some_shares()
    classes = torch.zeros(2, CLASSES)
    classes[0, 3] = classes[1, 3] = classes[1, 7] = 1
    divided = source_shares(answers, energy, classes)
    assert divided.shape == (3, 160, 5)
    assert torch.allclose(divided.sum(0), torch.ones(160, 5), atol=1e-5)
    # Class 3 is divided among the two that asked for it, so the second has more everywhere.
    assert bool((divided[1] > divided[0]).all())


def test_a_source_that_was_asked_for_counts_as_present() -> None:
    prior = torch.full((CLASSES,), 1e-3)
    prior[0] = 1 - prior[1:].sum()
    classes = torch.zeros(1, CLASSES)
    classes[0, 5] = classes[0, 6] = 1
    raised = asked_prior(prior, classes)
    assert float(raised[5] + raised[6]) == pytest.approx(LEAST_ASKED)
    assert torch.equal(raised[:5], prior[:5])
    classes[0, 0] = 1
    assert torch.equal(asked_prior(prior, classes), prior)


def test_a_segment_takes_the_prior_of_its_recording() -> None:
    answers, energy = some_shares()
    classes = torch.eye(CLASSES)[:1]
    elsewhere = torch.full((CLASSES,), 1 / CLASSES)
    own = source_shares(answers, energy, classes)
    assert torch.allclose(own, source_shares(answers, energy, classes, mean_shares(answers, energy)))
    assert not torch.allclose(own, source_shares(answers, energy, classes, elsewhere))


def test_masks_are_found_again_in_what_they_made() -> None:
    mixture = noise(1, 2, 40_000)
    spectrum = GRID.stft(mixture)[0]
    # The same at all frames and smooth over bins, so that frames that overlap agree.
    mask = torch.linspace(0.1, 0.7, spectrum.shape[1])[:, None].expand(spectrum.shape[1:])
    estimates = apply_masks(mask[None], spectrum, 40_000)
    found = masks_of(estimates, spectrum)
    assert torch.allclose(found.sum(0), torch.ones_like(found[0]), atol=1e-5)
    inner = found[0, 50:-50, 4:-4]
    assert torch.allclose(inner.mean(1), mask[50:-50, 0], atol=0.02)


def test_where_one_is_unsure_the_other_decides() -> None:
    energy = torch.ones(3, 4)
    unsure = torch.full((2, 3, 4), 0.5)
    sure = torch.tensor([0.9, 0.5, 0.1])[:, None].expand(3, 4)
    sure = torch.stack([sure, 1 - sure])
    both = product_of_masks(unsure, sure, energy)
    assert torch.allclose(both, sure, atol=1e-6)
    # Two that agree are surer than either.
    odds = 9**0.7 * 9
    assert float(product_of_masks(sure, sure, energy)[0, 0, 0]) == pytest.approx(odds / (1 + odds))


def test_a_quiet_source_is_raised_and_a_loud_one_is_left() -> None:
    mask = torch.tensor([[[0.2, 0.2]], [[0.8, 0.8]]])
    # A fifth of the energy: the odds, one to four, are doubled.
    assert torch.allclose(raise_small_sources(mask, torch.ones(1, 2))[0], torch.tensor(1 / 3), atol=1e-6)
    assert torch.allclose(raise_small_sources(mask.flip(0), torch.ones(1, 2)), mask.flip(0), atol=1e-6)


# The tagger


@pytest.fixture(scope="module")
def network() -> ShareUNet:
    found = load_tagger("shares", "rendered").network
    assert isinstance(found, ShareUNet)
    return found


def test_what_is_present_is_the_mean_of_the_shares(network: ShareUNet) -> None:
    tagger = load_tagger("shares", "rendered")
    mono = audio.resample(excerpt("duet/mixture.flac").samples.mean(0), 44_100, RATE)[: tagger.window]
    with torch.no_grad():
        answers, energy = shares(network, mono[None, None])
        expected = mean_shares(answers[0], energy[0])
        found = torch.sigmoid(tagger.logits(mono[None])[0, 0])[:CLASSES]
    assert tagger.rate == RATE
    # The log-odds are bounded at shares of 1e-4, and energies are those above the floor of 80 dB.
    assert torch.allclose(found, expected, atol=5e-4)
    assert float(found.sum()) == pytest.approx(1, abs=CLASSES * 2e-4)


def test_energies_are_heard_in_the_features() -> None:
    spectrum = GRID.stft(noise(1, 2, 20_000))
    exact = GRID.into_patches(GRID.into_bands(power(spectrum).sum(1)))
    heard = energy_of_patches(features(spectrum))
    assert torch.allclose(heard / heard.sum(), exact / exact.sum(), rtol=1e-3, atol=1e-9)


def test_the_tagger_can_steer() -> None:
    audio_in = noise(1, 30_000).requires_grad_()
    tagger = load_tagger("shares", "rendered")
    tagger.logits(audio_in)[..., 3].sum().backward()  # type: ignore[no-untyped-call]
    assert audio_in.grad is not None and float(audio_in.grad.abs().max()) > 0


# The separators


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("nothing is optimised here")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_violin_comes_out_without_an_optimiser(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering.Adam, "__init__", refuse)
    monkeypatch.setattr(torch.Tensor, "backward", refuse)
    recording = excerpt("duet/mixture.flac")
    stereo = torch.stack([recording.samples[0], 0.5 * recording.samples[0]])
    found = tagbox.separate(stereo, recording.rate, ["violin", "piano"], preset=preset)
    assert list(found.sources) == ["violin", "piano"]
    parts = torch.stack([torch.as_tensor(one) for one in (*found.sources.values(), found.residual)])
    assert parts.shape == (3, *stereo.shape)
    # Of float32 sums of a recording below 1.
    assert torch.allclose(parts.sum(0), stereo, atol=1e-6)
    manifest = json.loads(json.dumps(dict(found.manifest)))
    assert manifest["share_network"]["name"] == "rendered/shares"
    assert manifest["share_network"]["weights"] == load_tagger("shares", "rendered").weights_hash
    assert len(found.history.steps) == 1


@pytest.mark.parametrize("preset", PRESETS)
def test_level_and_repetition_change_nothing(preset: str) -> None:
    recording = excerpt("band/mixture.flac", 2.0)
    how = {"preset": preset, "precision": "float32", "components": 4}
    first, again = (tagbox.separate(recording.samples, recording.rate, ["drums"], **how) for _ in range(2))
    assert torch.equal(torch.as_tensor(first.sources["drums"]), torch.as_tensor(again.sources["drums"]))
    if preset == "fast":
        quiet = tagbox.separate(recording.samples / 64, recording.rate, ["drums"], **how)
        loud = 64 * torch.as_tensor(quiet.sources["drums"])
        assert torch.allclose(loud, torch.as_tensor(first.sources["drums"]), atol=1e-3)


def test_a_stream_is_as_its_segments() -> None:
    recording = excerpt("band/mixture.flac", 7.0)
    how = {"preset": "fast", "precision": "float32"}
    whole = tagbox.separate(recording.samples, recording.rate, ["drums"], **how)
    cut = tagbox.separate(recording.samples, recording.rate, ["drums"], segment=4.0, overlap=0.5, **how)
    one, other = (torch.as_tensor(x.sources["drums"]) for x in (whole, cut))
    assert cut.manifest["streamed"]["segments"] == 2
    # The network hears other windows, so it is about the same, not exactly.
    assert float((one - other).square().sum() / one.square().sum()) < 0.1
    assert torch.allclose(torch.as_tensor(cut.residual) + other, recording.samples, atol=1e-6)


def test_silence_stays_silent() -> None:
    silence = torch.zeros(2, 44_100)
    silence[:, :100] = 0.1
    found = tagbox.separate(silence, 44_100, ["drums"], preset="fast")
    assert bool(torch.isfinite(torch.as_tensor(found.sources["drums"])).all())
    assert float(torch.as_tensor(found.sources["drums"])[:, 10_000:].abs().max()) < 1e-4
