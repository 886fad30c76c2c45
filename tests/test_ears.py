"""An ear with a prediction every 40 ms, and those of AudioSet's words: their numbers beside the published."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tagbox
from cli_runner import run_tagbox
from hub_snapshots import use_caches
from tagbox import audio, models
from tagbox.errors import InvalidWeightsError
from tagbox.plugins.discovery import import_code
from tagbox.taggers import registry
from tagbox.taggers.mel_filters import mel_filters
from tagbox.taggers.networks.efficient_at import EfficientAT
from tagbox.taggers.precise_frontends import EmphasisedMel
from tagbox.taggers.tagger import Tagger
from tagbox.tags.audioset import TAGS
from tagbox.tags.resolve import meaning
from tagbox.weights import catalogue, store

pytest.importorskip("transformers", reason="transformers is not installed")

from small_ears import assert_gradient, save_small_frames, save_small_transformer

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"
FRAMES = "pe/a-frame-small"
AST = "audioset/ast"
WORDS = ("a violin", "drums", "music")


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the hub with small networks under the names of the catalogue's."""
    folder = tmp_path_factory.mktemp("hf") / "hub"
    save_small_frames(folder, str(catalogue.model_by_identifier(FRAMES).source))
    save_small_transformer(folder, str(catalogue.model_by_identifier(AST).source))
    save_small_transformer(folder, "hf:examples/other-tags", ("speech", "music"))
    return folder


@pytest.fixture
def cache(hub_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    use_caches(monkeypatch, hub_folder.parent, tmp_path / "tagbox")
    return hub_folder


def duet(rate: int, seconds: float = 10.0) -> Tensor:
    """The beginning of a real recording, mono, (1, samples)."""
    recording = audio.read(DUET, 0, seconds)
    resampled = audio.resample(recording.samples.mean(dim=0), recording.rate, rate)
    return resampled[None, : round(seconds * rate)]


def folder_of(identifier: str) -> Path:
    return store.locate_model(catalogue.model_by_identifier(identifier))


def check_gradient(tagger: Tagger, samples: int, scale: float = 1.0) -> None:
    """Compare the gradient of a logit at noise with finite differences."""
    generator = torch.Generator().manual_seed(0)
    sound = scale * torch.randn(1, samples, generator=generator, dtype=torch.float64)
    direction = torch.randn(sound.shape, generator=generator, dtype=torch.float64)
    # A small step, for rectifiers have kinks; the difference still has eight digits.
    assert abs(assert_gradient(tagger, sound, direction, step=1e-8)) > 1e-4


def test_frames_have_the_numbers_of_the_library(cache: Path) -> None:
    import transformers

    from tagbox.taggers.hub_models import tokenise
    from tagbox.taggers.perception_frames import FrameHearing

    tagger = models.load_tagger("a-frame-small", "pe", words=WORDS)
    assert (tagger.rate, tagger.hop, tagger.window % 1920) == (48_000, 1920, 0)
    assert isinstance(tagger.network, FrameHearing)
    folder, sound = folder_of(FRAMES), duet(48_000)
    theirs: Any = transformers.PeAudioFrameLevelModel.from_pretrained(folder).eval()
    extractor = transformers.PeAudioFeatureExtractor.from_pretrained(folder)
    inputs = extractor([sound[0].numpy()], sampling_rate=48_000, return_tensors="pt")
    with torch.no_grad():
        expected = theirs(**tokenise(folder, WORDS), **inputs).logits_audio_text.transpose(1, 2)
        ours = tagger.network.similarities(tagger.frontend(sound))
        assert ours.shape == expected.shape == (1, 250, len(WORDS))
        assert float((ours - expected).abs().max()) < 1e-4
        assert float(ours.std(dim=1).min()) > 1e-3
        # An answer every 40 ms, for twelve seconds in two windows.
        longer = tagger.logits(duet(48_000, 12.0))
        assert longer.shape == (1, 500, len(WORDS))
        torch.testing.assert_close(torch.sigmoid(longer).sum(dim=-1), torch.ones(1, 500))


def test_frames_have_a_gradient_though_the_library_has_none(cache: Path) -> None:
    check_gradient(models.load_tagger("a-frame-small", "pe", words=WORDS), 20 * 1920, 0.1)
    half = models.load_tagger("a-frame-small", "pe", words=WORDS).to_precision(torch.bfloat16)
    assert half.input_dtype == torch.float32
    assert half(duet(48_000, 1.0)).probabilities.shape == (1, len(WORDS))


def test_frames_over_time_and_as_separators(cache: Path) -> None:
    from tagbox.tagging import predict_windows

    recording = audio.read(DUET, 0, 2)
    tagger = models.load_tagger("a-frame-small", "pe", words=WORDS)
    (predicted,) = predict_windows(recording.samples, recording.rate, [tagger])
    assert len(predicted.spans) == 50 and predicted.spans[1] == pytest.approx((0.04, 0.08))
    code, out, _ = run_tagbox("tag", DUET, "--duration", 1, "--over-time", "--tagger", FRAMES)
    assert code == 0 and "0:00.04 to 0:00.08" in out and "0:00.96 to 0:01.00" in out
    result = tagbox.separate(
        recording.samples,
        recording.rate,
        "a muted trumpet",
        taggers=(FRAMES,),
        steer="gates",
        components=2,
        factorisations=1,
    )
    assert list(result.manifest["tags"]["a muted trumpet"]) == [FRAMES]
    total = sum([*result.sources.values(), result.residual])
    np.testing.assert_allclose(total.numpy(), recording.samples.numpy(), atol=1e-5)


@pytest.mark.parametrize("seconds", [10.0, 1.5])
def test_the_spectrogram_transformer_has_the_numbers_of_the_library(cache: Path, seconds: float) -> None:
    import transformers

    tagger = models.load_tagger("ast", "audioset")
    assert (tagger.rate, tagger.window, tagger.tags) == (16_000, 160_000, TAGS)
    folder, sound = folder_of(AST), duet(16_000, seconds)
    extractor = transformers.ASTFeatureExtractor.from_pretrained(folder)
    theirs: Any = transformers.ASTForAudioClassification.from_pretrained(folder).eval()
    features = extractor(sound[0].numpy(), sampling_rate=16_000, return_tensors="pt")["input_values"]
    ours = tagger.frontend(sound)
    assert float((ours - features).abs().max()) < 1e-4
    with torch.no_grad():
        assert float((tagger.network(ours) - theirs(features).logits).abs().max()) < 1e-4


def test_the_spectrogram_transformer_has_a_gradient_and_knows_its_tags(cache: Path) -> None:
    with warnings.catch_warnings():
        # The library warns of its own front end, which is not used.
        warnings.simplefilter("error")
        tagger = models.load_tagger("ast", "audioset")
    check_gradient(tagger, 16_000, 0.1)
    with pytest.raises(InvalidWeightsError, match="2 tags"):
        models.load_tagger("hf:examples/other-tags")


@pytest.mark.parametrize(
    ("identifier", "changed"),
    [(AST, {"num_mel_bins": 64}), (AST, {"max_length": 3}), (FRAMES, {"hop_length": 0})],
)
def test_settings_that_do_not_fit_are_told_when_a_model_is_loaded(
    cache: Path, tmp_path: Path, identifier: str, changed: dict[str, int]
) -> None:
    model = catalogue.model_by_identifier(identifier)
    folder = shutil.copytree(folder_of(identifier), tmp_path / "unfit")
    settings = folder / "preprocessor_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | changed))
    load = import_code(model.load, None, identifier)
    with pytest.raises(InvalidWeightsError, match="cannot be loaded as"):
        load(model, folder, "cpu", *([WORDS] if identifier == FRAMES else []))


def small_efficient_state(name: str) -> dict[str, Tensor]:
    """Weights for EfficientAT from a recipe that was also given to the published program."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for key, shape in registry.expected_shapes(name, "audioset").items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.long)
        elif key.endswith("running_var"):
            state[key] = 0.5 + torch.rand(shape, generator=generator)
        elif len(shape) > 1:
            spread = (1.6 / torch.Size(shape[1:]).numel()) ** 0.5
            state[key] = torch.randn(shape, generator=generator) * spread
        else:
            offset = 1.0 if key.endswith("weight") else 0.0
            state[key] = 0.1 * torch.randn(shape, generator=generator) + offset
    return state


PUBLISHED = {
    "mn04": (983_599, [1.044694, 2.90821, -0.55502, -0.803509, 0.706137, -3.469752]),
    "mn10": (4_876_831, [-5.132856, 3.823632, 9.633142, 1.937633, 5.457978, -0.221497]),
}
"""Weights, and logits of the published program (commit a425fdc) for the recipe above and a random input."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_efficientat_has_the_numbers_of_the_published_program(name: str) -> None:
    weights, expected = PUBLISHED[name]
    tagger = registry.from_state_dict(name, "audioset", small_efficient_state(name), "none")
    assert isinstance(tagger.network, EfficientAT)
    assert sum(weight.numel() for weight in tagger.network.parameters()) == weights
    spectrogram = torch.randn(2, 1, 128, 101, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        logits = tagger.network(spectrogram)
    chosen = logits[1, [0, 100, 200, 300, 400, 526]]
    torch.testing.assert_close(chosen, torch.tensor(expected), atol=1e-4, rtol=0)


class WithPreciseFilters(EmphasisedMel):
    """Has the filters that the library computes, in float64."""

    def matrix(self) -> Tensor:
        return mel_filters(self.bands, self.rate, self.fft, 0.0, self.high, "kaldi")


def test_efficientat_hears_what_the_library_computes() -> None:
    from transformers.audio_utils import mel_filter_bank, spectrogram

    sound = duet(32_000)
    samples = sound[0].double().numpy()
    filters = mel_filter_bank(
        513, 128, 0, 15_000, 32_000, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    bands = spectrogram(
        np.pad(samples[1:] - 0.97 * samples[:-1], 512, mode="reflect"),
        np.pad(np.hanning(800), 112),
        1024,
        320,
        power=2.0,
        center=False,
        mel_filters=filters,
        mel_floor=0.0,
    )
    expected = torch.from_numpy((np.log(bands + 1e-5) + 4.5) / 5)
    ours = EmphasisedMel()(sound)[0, 0]
    assert ours.shape == (128, 1000)
    # The published filters are those of float32: see `EmphasisedMel.matrix`.
    assert float((ours - expected).abs().max()) < 1e-3
    assert float((WithPreciseFilters()(sound)[0, 0] - expected).abs().max()) < 1e-4


@pytest.mark.parametrize("name", PUBLISHED)
def test_efficientat_has_a_gradient(name: str) -> None:
    check_gradient(
        registry.from_state_dict(name, "audioset", small_efficient_state(name), "none"), 32_000, 0.1
    )


def test_efficientat_is_imported_as_it_is_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path / "home"))
    model = catalogue.model_by_identifier("audioset/mn04")
    state = small_efficient_state(model.name)
    torch.save(state, tmp_path / "mn04.pt")
    store.import_file(model, tmp_path / "mn04.pt")
    assert models.load_tagger(model.name, "audioset").tags == TAGS
    state["classifier.5.bias"] = torch.zeros(10)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(InvalidWeightsError, match=r"classifier\.5\.bias"):
        store.import_file(model, tmp_path / "other.pt")


def test_words_of_audioset() -> None:
    assert len(TAGS) == 527
    assert meaning("fiddle", "audioset") == ("Violin, fiddle",)
    assert "Hi-hat" in meaning("drums", "audioset") and meaning("applause", "audioset") == ("Applause",)
    assert json.dumps(meaning("singer", "audioset")).count("singing") >= 3
