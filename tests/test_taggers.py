"""The published taggers: parity with the published implementation, and what steering needs of them."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.parity import (
    NAMES,
    PUBLISHED_WEIGHTS,
    frontend_deviation,
    published_tagger,
    recipe_deviation,
    recipe_state,
    recipe_tagger,
    weights_deviation,
)
from tagbox import models
from tagbox.audio.files import read
from tagbox.audio.resampling import resample
from tagbox.audio.validation import fingerprint
from tagbox.errors import TagBoxError
from tagbox.taggers import registry
from tagbox.taggers import tagger as tagger_module
from tagbox.taggers.frontends import HarmonicSpectrogram, LogMel, Waveform
from tagbox.taggers.networks.attention import AttentionCNN
from tagbox.taggers.networks.layers import Conv2dBlock
from tagbox.taggers.tagger import FrontEnd, Tagger, predict_logits
from tagbox.taggers.windows import count_windows, cut_windows, hop_length
from tagbox.weights import store
from tagbox.weights.catalogue import model_by_identifier


@pytest.fixture(scope="session")
def golden(shared: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared / "golden" / "taggers.npz"))


class Loudness(nn.Module):
    """A fast network of two "tags": the mean and the mean square of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.gain * x.flatten(1)
        return torch.stack([x.mean(dim=1), x.square().mean(dim=1)], dim=1)


def loudness(frontend: FrontEnd, window: int = 100, rate: int = 16000) -> Tagger:
    return Tagger("loudness", "mtat", rate, window, ("mean", "power"), frontend, Loudness().eval(), "none")


@dataclass(frozen=True)
class Counted:
    """A front end that equals others of the same factor, and records its calls."""

    factor: float
    calls: list[int] = field(default_factory=list, compare=False)

    def __call__(self, audio: Tensor) -> Tensor:
        self.calls.append(len(audio))
        return self.factor * audio


# Parity


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_are_the_published_ones(shared, name):
    listed = json.loads((shared / "golden" / "tagger_state_dicts.json").read_text())[name]
    assert registry.expected_shapes(name, "mtat") == {key: tuple(shape) for key, shape in listed.items()}


def test_musicnn_of_msd_is_the_larger_one():
    shapes = registry.expected_shapes("musicnn", "msd")
    assert shapes["layer1.conv.weight"] == (512, 561, 7)
    assert shapes["layer3.conv.weight"] == (512, 512, 7)
    assert shapes["dense1.weight"] == (500, 2 * (561 + 3 * 512))


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_with_recipe_weights(golden, name):
    assert recipe_deviation(golden, name) < 1e-5


@pytest.mark.parametrize(("data", "name"), PUBLISHED_WEIGHTS)
def test_probabilities_with_published_weights(golden, shared, data, name):
    assert weights_deviation(golden, shared, data, name) < 1e-5


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("sample", "se")])
def test_front_end_in_db(golden, name):
    assert frontend_deviation(golden, name) < 1e-3


def test_centres_of_harmonic_filters(golden):
    ours = HarmonicSpectrogram().centres().flatten().numpy()
    np.testing.assert_allclose(ours, golden["hcnn_f0"], rtol=1e-6)


# Front ends


@pytest.mark.parametrize("frontend", [LogMel(96), LogMel(128), HarmonicSpectrogram(q=0.8)])
def test_front_ends_against_scipy_and_the_definition(frontend):
    audio = np.random.default_rng(0).standard_normal(8000)
    ends = np.pad(audio, 256, mode="reflect")
    _, _, spectrum = scipy.signal.stft(
        ends, window="hann", nperseg=512, noverlap=256, boundary=None, padded=False
    )
    power = np.abs(spectrum * 256) ** 2  # scipy divides by the window's sum
    matrix = frontend.matrix().double().numpy()
    ours = frontend(torch.from_numpy(audio).float()[None])[0].reshape(len(matrix), -1).numpy()
    audible = matrix.sum(axis=1) > 1e-6
    assert audible.mean() > 0.8
    np.testing.assert_allclose(ours[audible], 10 * np.log10(matrix[audible] @ power), atol=2e-3)
    assert (ours[matrix.sum(axis=1) == 0] == -100).all()


def test_mel_triangles_peak_where_the_htk_scale_puts_them():
    mel = LogMel(40, fft=8192).matrix().numpy()
    centres = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42)[1:-1] / 2595) - 1)
    peaks = mel.argmax(axis=1) * 16000 / 8192
    np.testing.assert_allclose(peaks, centres, atol=16000 / 8192)
    assert mel.max() <= 1 and mel.min() == 0


def test_harmonic_channels_of_a_tone_line_up():
    rate, band = 16000, 96  # a note high enough for its filter to be wider than a bin
    f0 = float(HarmonicSpectrogram().centres()[0, band])
    t = torch.arange(rate) / rate
    tone = sum(torch.sin(2 * torch.pi * f0 * h * t) for h in range(1, 7))
    seen = HarmonicSpectrogram()(tone[None])[0].mean(dim=-1)
    assert seen.shape == (6, 128)
    for harmonic in range(6):
        near = seen[harmonic, band - 4 : band + 5]  # two semitones: no two harmonics are so close
        assert abs(int(near.argmax()) - 4) <= 1


def test_q_makes_harmonic_filters_narrower():
    wide, narrow = HarmonicSpectrogram(q=1.0).matrix(), HarmonicSpectrogram(q=4.0).matrix()
    assert (narrow > 0).sum() < (wide > 0).sum() / 2
    assert HarmonicSpectrogram(q=1.0) != HarmonicSpectrogram(q=4.0)


@pytest.mark.parametrize("frontend", [LogMel(96), LogMel(128), HarmonicSpectrogram()])
def test_silence_has_a_finite_gradient(frontend):
    audio = torch.zeros(1, 4000, requires_grad=True)
    seen = frontend(audio)
    assert (seen == -100).all()
    seen.sum().backward()
    assert (audio.grad == 0).all()


def test_a_front_end_first_used_in_inference_mode_still_has_gradients():
    frontend = LogMel(17)
    with torch.inference_mode():
        frontend(torch.randn(1, 2000))
    audio = torch.randn(1, 2000, requires_grad=True)
    frontend(audio).sum().backward()
    assert audio.grad.abs().sum() > 0


# Layers


def test_folding_the_norm_changes_nothing():
    torch.manual_seed(0)
    block = Conv2dBlock(3, 5, (2, 2))
    nn.init.normal_(block.bn.weight)
    block.bn.running_mean.normal_()
    block.bn.running_var.uniform_(0.5, 2)
    block.eval()
    x = torch.randn(2, 3, 8, 10)
    plain = nn.functional.max_pool2d(torch.relu(block.bn(block.conv(x))), 2)
    torch.testing.assert_close(block(x), plain)


def test_attention_takes_more_than_64_windows_and_leaves_numpys_seed():
    np.random.seed(1)
    expected = np.random.RandomState(1).random_sample()
    network = AttentionCNN().eval()
    assert np.random.random_sample() == expected
    x = torch.randn(70, 128, 16)
    with torch.no_grad():
        logits = network(x)
        torch.testing.assert_close(logits[66:], network(x[66:]), atol=1e-5, rtol=1e-5)


# Gradients


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_the_waveform(name):
    tagger = recipe_tagger(name)
    audio = 0.1 * torch.randn(1, min(tagger.window, 48000), generator=torch.Generator().manual_seed(0))
    audio.requires_grad_()
    tagger.logits(audio)[..., 0].sum().backward()
    assert torch.isfinite(audio.grad).all()
    assert (audio.grad.abs() > 0).float().mean() > 0.9
    assert all(parameter.grad is None for parameter in tagger.network.parameters())


def test_the_gradient_is_the_slope():
    tagger = recipe_tagger("musicnn")
    generator = torch.Generator().manual_seed(0)
    audio = 0.1 * torch.randn(1, 48000, generator=generator)
    direction = torch.randn(1, 48000, generator=generator)
    audio.requires_grad_()
    (gradient,) = torch.autograd.grad(tagger.logits(audio).mean(), audio)
    step = 1e-4
    with torch.no_grad():
        up, down = (tagger.logits(audio + s * step * direction).double().mean() for s in (1, -1))
    slope, expected = float((up - down) / (2 * step)), float((gradient * direction).sum())
    assert slope == pytest.approx(expected, rel=0.05)


# Windows

lengths = st.integers(1, 300)
window_lengths = st.integers(1, 100)
paddings = st.sampled_from(["repeat", "zeros"])


@given(lengths, window_lengths, st.data(), paddings)
@settings(max_examples=200)
def test_windows_cover_every_sample_and_are_filled_up(samples, window, data, padding):
    hop = data.draw(st.integers(1, window))
    audio = torch.arange(1, samples + 1).float()[None].repeat(2, 1)
    windows = cut_windows(audio, window, hop, padding)
    assert windows.shape == (2, count_windows(samples, window, hop), window)
    for i, part in enumerate(windows[0]):
        places = torch.arange(i * hop, i * hop + window)
        inside = places < samples
        assert torch.equal(part[inside], places[inside] + 1.0)
        filled = (
            (places[~inside] % samples) + 1.0 if padding == "repeat" else torch.zeros(int((~inside).sum()))
        )
        assert torch.equal(part[~inside], filled)
    # The last window begins inside the recording, and the one before it does not yet reach the end.
    last = (windows.shape[1] - 1) * hop
    assert last < samples <= last + window or hop < window
    assert windows.shape[1] == 1 or last - hop + window < samples


@given(lengths, window_lengths)
def test_zeros_without_overlap_are_the_published_windows(samples, window):
    windows = cut_windows(torch.ones(1, samples), window, window, "zeros")
    assert windows.shape[1] == -(-samples // window)
    assert windows.sum() == samples


@given(window_lengths, st.floats(0, 1, exclude_max=True))
def test_hop_is_at_least_a_sample_and_at_most_the_window(window, overlap):
    assert 1 <= hop_length(window, overlap) <= window


@pytest.mark.parametrize(
    ("audio", "options", "message"),
    [
        (torch.zeros(1, 0), {}, "empty"),
        (torch.zeros(10), {}, "(batch, samples)"),
        (torch.zeros(1, 2, 10), {}, "(batch, samples)"),
        (torch.zeros(1, 10), {"padding": "mirror"}, "mirror"),
        (torch.zeros(1, 10), {"overlap": 1.0}, "overlap"),
        (torch.zeros(1, 10), {"overlap": -0.1}, "overlap"),
        (torch.zeros(1, 10), {"overlap": float("nan")}, "overlap"),
    ],
)
def test_audio_that_cannot_be_cut_is_refused(audio, options, message):
    with pytest.raises(TagBoxError, match=message.replace("(", r"\(").replace(")", r"\)")):
        predict_logits([loudness(Waveform())], audio, **options)


def test_one_sample_is_enough():
    output = recipe_tagger("musicnn")(torch.ones(2, 1))
    assert output.probabilities.shape == output.logits.shape == (2, 50)
    assert torch.isfinite(output.logits).all()


# Predictions


def test_a_shared_front_end_runs_once_and_predictions_stay_the_same():
    first, second, other = Counted(2.0), Counted(2.0), Counted(3.0)
    taggers = [loudness(first), loudness(other), loudness(second), loudness(first, window=70)]
    audio = torch.randn(3, 250)
    predictions = predict_logits(taggers, audio, overlap=0.5)
    assert sorted(first.calls + second.calls) == [3 * 4, 3 * 7]
    assert other.calls == [3 * 4]
    for tagger, logits in zip(taggers, predictions, strict=True):
        assert torch.equal(logits, tagger.logits(audio, overlap=0.5))


def test_taggers_predict_together_as_they_do_separately():
    taggers = [recipe_tagger(name) for name in ("musicnn", "sample", "short")]
    audio = 0.1 * torch.randn(2, 70000)
    with torch.no_grad():
        for tagger, logits in zip(taggers, predict_logits(taggers, audio), strict=True):
            torch.testing.assert_close(logits, tagger.logits(audio))
            assert logits.shape == (2, 2, 50)


def test_an_output_is_the_mean_over_windows():
    audio = torch.randn(2, 250)
    one = loudness(Waveform())
    windows, whole = one.logits(audio), one(audio)
    torch.testing.assert_close(whole.logits, windows.mean(dim=1))
    torch.testing.assert_close(whole.probabilities, torch.sigmoid(windows).mean(dim=1))


def test_long_recordings_go_in_batches_with_the_same_predictions(monkeypatch):
    audio = torch.randn(2, 1000)
    whole = loudness(Waveform()).logits(audio)
    monkeypatch.setattr(tagger_module, "SAMPLES_PER_BATCH", 300)
    counted = Counted(1.0)
    torch.testing.assert_close(loudness(counted).logits(audio), whole)
    assert counted.calls == [3, 3, 3, 3, 3, 3, 2]
    graph = Counted(1.0)
    loudness(graph).logits(audio.requires_grad_())
    assert graph.calls == [20]


def test_taggers_of_several_rates_are_refused():
    with pytest.raises(TagBoxError, match="8000, 16000"):
        predict_logits([loudness(Waveform()), loudness(Waveform(), rate=8000)], torch.zeros(1, 10))


def test_moving_to_where_it_is_keeps_the_tagger():
    one = loudness(Waveform())
    assert one.to("cpu") is one


def test_repeating_a_short_recording_raises_the_probability_of_its_instruments(shared):
    tagger = published_tagger(shared, "mtat", "fcn")
    classical, piano = tagger.tags.index("classical"), tagger.tags.index("piano")
    repeated, silent = [], []
    with torch.no_grad():
        for i in range(1, 7):  # 12 s of Bach each, where the network wants 29 s
            recording = read(shared / "data" / "duets" / f"Track{i:05}" / "mix.flac")
            audio = resample(recording.samples, recording.rate, tagger.rate)
            repeated.append(tagger(audio).probabilities[0])
            silent.append(tagger(audio, padding="zeros").probabilities[0])
    assert torch.stack(repeated)[:, classical].mean() > 1.5 * torch.stack(silent)[:, classical].mean()
    assert repeated[1][piano] > 0.5 > 2 * silent[1][piano]  # flute and piano


# Checkpoints


def test_loading_copies_and_freezes():
    state = recipe_state("crnn")
    loaded = registry.from_state_dict("crnn", "mtat", state, "hash")
    state["dense.bias"].fill_(99)
    assert (loaded.network.get_parameter("dense.bias") < 10).all()
    assert not loaded.network.training
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    assert (loaded.rate, loaded.window, loaded.weights_hash) == (16000, 464000, "hash")
    assert len(loaded.tags) == 50 and loaded.tags[0] == "guitar"


def test_subnormal_weights_become_zeros():
    state = recipe_state("crnn")
    smallest = torch.finfo(torch.float32).tiny
    state["dense.bias"][:3] = torch.tensor([smallest, smallest / 2, -smallest / 1000])
    loaded = registry.from_state_dict("crnn", "mtat", state, "hash")
    assert loaded.network.get_parameter("dense.bias")[:3].tolist() == [smallest, 0, 0]


def test_the_front_end_takes_the_sharpness_of_the_checkpoint():
    state = recipe_state("hcnn")
    state["hstft.bw_Q"] = torch.tensor([1.3125])
    assert registry.from_state_dict("hcnn", "mtat", state, "").frontend == HarmonicSpectrogram(q=1.3125)


def test_loading_by_name_takes_the_cached_file(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path))
    with pytest.raises(TagBoxError, match="tagbox models pull mtat/crnn"):
        models.load_tagger("crnn", "mtat")
    cached = store.import_file(model_by_identifier("mtat/crnn"), shared / "weights" / "mtat" / "crnn.pth")
    loaded = models.load_tagger("crnn", "mtat")
    assert loaded.weights_hash == fingerprint(cached)
    audio = 0.1 * torch.randn(1, 16000)
    assert torch.equal(loaded.logits(audio), published_tagger(shared, "mtat", "crnn").logits(audio))


def change(state: dict[str, Tensor], **entries: Tensor | None) -> dict[str, Tensor]:
    for key, value in entries.items():
        key = key.replace("__", ".")
        if value is None:
            del state[key]
        else:
            state[key] = value
    return state


@pytest.mark.parametrize(
    ("name", "entries", "message"),
    [
        ("fcn", {"layer1__conv__weight": None}, r"mtat/fcn: without layer1\.conv\.weight;"),
        ("fcn", {"layer9__conv__weight": torch.zeros(1)}, r"with layer9\.conv\.weight"),
        (
            "fcn",
            {"dense__weight": torch.zeros(50, 65)},
            r"dense\.weight .*\(50, 65\).*\(50, 64\)",
        ),
        ("fcn", {"dense__bias": torch.full((50,), torch.nan)}, r"dense\.bias is not finite"),
        ("fcn", {"spec__spectrogram__window": torch.ones(512)}, r"spec\.spectrogram\.window differs"),
        ("fcn", {"spec__mel_scale__fb": torch.ones(257, 96)}, r"spec\.mel_scale\.fb differs"),
        ("hcnn", {"hstft__spec__window": torch.hamming_window(512)}, r"hstft\.spec\.window differs"),
        ("hcnn", {"hstft__bw_Q": torch.zeros(1)}, r"bw_Q is 0"),
    ],
)
def test_another_checkpoint_is_refused_and_the_name_is_given(name, entries, message):
    with pytest.raises(TagBoxError, match=message):
        registry.from_state_dict(name, "mtat", change(recipe_state(name), **entries), "")


def test_the_weights_of_another_tagger_are_refused():
    with pytest.raises(TagBoxError, match=r"without layers\.0\.conv\.weight, .* and [0-9]+ more and with"):
        registry.from_state_dict("musicnn", "mtat", recipe_state("fcn"), "")


def test_errors_list_the_known_names():
    with pytest.raises(TagBoxError, match="'vgggish'; choose one of fcn, musicnn"):
        registry.expected_shapes("vgggish", "mtat")
    with pytest.raises(TagBoxError, match="'mtg'; choose mtat, jamendo, msd"):
        models.load_tagger("fcn", "mtg")
