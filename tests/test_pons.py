"""Pons's networks: parity with their original graphs, and with the published program on real audio."""

import struct
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.golden import signal
from tagbox import models
from tagbox.audio.files import read
from tagbox.audio.resampling import resample, to_mono
from tagbox.taggers import registry
from tagbox.taggers.frontends import PonsMel, slaney_filters
from tagbox.taggers.networks.pons import FrozenNorm, Temporal, Timbral, VggBlock, maximum_before_norm
from tagbox.taggers.tagger import Tagger
from tagbox.weights.store import locate

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RATE = 16000
HOP = 256
FRAMES = 187
NAMES = {"pons-musicnn": "MTT_musicnn", "pons-vgg": "MTT_vgg"}


@pytest.fixture(scope="module", params=NAMES)
def tagger(request: pytest.FixtureRequest) -> Tagger:
    return models.load_tagger(request.param)


def excerpt(path: Path, seconds: float = 10.0) -> Tensor:
    """Read the beginning of a recording, (1, samples) at 16 kHz."""
    audio = read(path, duration=seconds)
    return resample(to_mono(audio.samples), audio.rate, RATE).reshape(1, -1)


def published_mel(audio: Tensor, **how: object) -> np.ndarray:
    """Compute (bands, frames) by librosa, reflected at the ends, its default at the time of training."""
    return librosa.feature.melspectrogram(
        y=audio[0].numpy(), sr=RATE, n_fft=512, hop_length=HOP, n_mels=96, **{"pad_mode": "reflect", **how}
    )


def compressed(mel: np.ndarray) -> np.ndarray:
    return np.log10(10000 * mel.astype(np.float32) + 1)


# Networks


def test_logits_are_those_of_the_original_graph(shared, tagger):
    golden = np.load(shared / "golden" / "pons.npz")
    spectrogram = torch.from_numpy(golden["input"]).transpose(1, 2)
    with torch.inference_mode():
        logits = tagger.network(spectrogram).numpy()
    np.testing.assert_allclose(logits, golden[f"logits/{NAMES[tagger.name]}"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_packaged_file_holds_floats_and_names_their_source(name):
    path = locate("tagger", name, "mtat")
    with path.open("rb") as file:
        header = file.read(struct.unpack("<Q", file.read(8))[0])
    assert b"ISC" in header and NAMES[name].encode() in header
    shapes = registry.expected_shapes(name, "mtat")
    numbers = sum(int(np.prod(shape)) for shape in shapes.values())
    assert 4 * numbers < path.stat().st_size < 4 * numbers + 20000


def random_norm(channels: int, seed: int) -> FrozenNorm:
    """Make a batch norm of which about half the channels fall."""
    random = torch.Generator().manual_seed(seed)
    norm = FrozenNorm(channels)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(channels, generator=random))
        norm.bias.copy_(torch.randn(channels, generator=random))
        norm.running_mean.copy_(torch.rand(channels, generator=random))
        norm.running_var.copy_(torch.rand(channels, generator=random))
    return norm


def relu_and_norm(norm: FrozenNorm, z: Tensor) -> Tensor:
    """Apply PyTorch's ReLU, then its batch norm."""
    return functional.batch_norm(
        functional.relu(z), norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-3
    )


@given(st.integers(0, 2**31))
@settings(max_examples=25)
def test_the_maximum_may_be_taken_before_relu_and_norm(seed):
    torch.manual_seed(seed)
    conv, norm, x = nn.Conv1d(3, 8, 5), random_norm(8, seed), torch.randn(2, 3, 40)
    first = maximum_before_norm(conv, norm, lambda w, b: functional.max_pool1d(functional.conv1d(x, w, b), 4))
    last = functional.max_pool1d(relu_and_norm(norm, conv(x)), 4)
    torch.testing.assert_close(first, last, rtol=1e-5, atol=1e-5)


def test_parts_of_musicnn_are_convolution_relu_norm_and_maximum():
    torch.manual_seed(0)
    x = torch.randn(2, 96, 50)
    timbral = Timbral(8, 38)
    timbral.norm = random_norm(8, 1)
    z = functional.conv2d(x[:, None], timbral.conv.weight, timbral.conv.bias, padding=(0, 3))
    expected = relu_and_norm(timbral.norm, z).amax(dim=2)
    torch.testing.assert_close(timbral(x), expected, rtol=1e-4, atol=1e-5)

    temporal = Temporal(8, 32)
    temporal.norm = random_norm(8, 2)
    padded = functional.pad(x[:, None], (15, 16))
    z = functional.conv2d(padded, temporal.conv.weight[:, :, None], temporal.conv.bias)
    torch.testing.assert_close(temporal(x), relu_and_norm(temporal.norm, z).amax(dim=2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("area", "step"), [((1, 4), (2, 2)), ((2, 2), (2, 2)), ((1, 4), (1, 4)), ((4, 1), (4, 1))]
)
def test_a_block_of_vgg_skips_only_bands_outside_all_maxima(area, step):
    torch.manual_seed(0)
    block, x = VggBlock(3, 8, area, step), torch.randn(2, 3, 17, 31)
    block.norm = random_norm(8, 3)
    z = functional.conv2d(x, block.conv.weight, block.conv.bias, padding=1)
    expected = functional.max_pool2d(relu_and_norm(block.norm, z), area, step)
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


# Front end


def test_filters_are_librosas():
    ours = slaney_filters(96, RATE, 512).numpy()
    np.testing.assert_allclose(ours, librosa.filters.mel(sr=RATE, n_fft=512, n_mels=96), rtol=0, atol=1e-8)


def test_filters_have_an_area_of_one_hertz():
    fine = slaney_filters(96, RATE, 2**16).double()
    np.testing.assert_allclose(fine.sum(dim=1) * RATE / 2**16, 1, rtol=1e-3)


@pytest.mark.parametrize("audio", ["duet/mixture.flac", "band/drums.flac", "song/vocals.flac", "generated"])
def test_spectrogram_is_librosas_without_the_reflected_ends(audio):
    generated = torch.from_numpy(signal(5 * RATE, RATE, 0))[None]
    x = generated if audio == "generated" else excerpt(EXAMPLES / audio)
    ours = PonsMel()(x)[0].numpy()
    np.testing.assert_allclose(ours, compressed(published_mel(x, center=False)), rtol=0, atol=1e-4)
    whole = compressed(published_mel(x))
    assert ours.shape[1] in (whole.shape[1] - 2, whole.shape[1] - 3)
    np.testing.assert_allclose(ours, whole[:, 1 : 1 + ours.shape[1]], rtol=0, atol=1e-4)


def test_silence_is_zero_and_has_a_gradient():
    x = torch.zeros(1, 48128, requires_grad=True)
    spectrogram = PonsMel()(x)
    assert spectrogram.shape == (1, 96, FRAMES)
    assert not spectrogram.any()
    spectrogram.sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()


# The whole tagger


def test_taggers_share_their_spectrogram():
    musicnn, vgg = (registry.ARCHITECTURES[name] for name in NAMES)
    assert musicnn.frontend == vgg.frontend and hash(musicnn.frontend) == hash(vgg.frontend)
    assert musicnn.window == vgg.window


def test_windows_are_predicted_as_by_the_published_program(tagger):
    """Windows that begin 187 frames apart, on a recording reflected at its start as by librosa.

    The published program rounds the spectrogram to 16-bit floats; that is the larger of the two tolerances.
    """
    x = excerpt(EXAMPLES / "duet" / "mixture.flac", 13)
    mel = published_mel(x)
    windows = mel.shape[1] // FRAMES
    reflected = functional.pad(x, (HOP, 0), mode="reflect")[:, : (windows - 1) * FRAMES * HOP + tagger.window]
    with torch.inference_mode():
        ours = tagger.logits(reflected, overlap=HOP / tagger.window)[0]
        for spectrogram, tolerance in ((mel, 1e-4), (mel.astype(np.float16), 1e-2)):
            parts = np.split(compressed(spectrogram)[:, : windows * FRAMES], windows, axis=1)
            published = tagger.network(torch.from_numpy(np.stack(parts)))
            torch.testing.assert_close(ours, published, rtol=0, atol=tolerance)


def test_gradients_reach_the_waveform(tagger):
    """The whole window in musicnn; the last maxima of vgg omit 26 frames, too few for another area."""
    x = excerpt(EXAMPLES / "duet" / "mixture.flac", 3.1)[:, : tagger.window].requires_grad_()
    tagger.logits(x).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()
    end = {"pons-musicnn": tagger.window, "pons-vgg": tagger.window - 26 * HOP}[tagger.name]
    loudest = x.grad[0, : end // 1000 * 1000].reshape(-1, 1000).abs().amax(dim=1)
    assert (loudest > 0).all()
    assert not x.grad[0, end:].any()


def test_a_small_step_along_the_gradient_changes_the_logit_accordingly(tagger):
    x = excerpt(EXAMPLES / "duet" / "mixture.flac", 3.1)[:, : tagger.window]
    tag = tagger.tags.index("violin")
    x.requires_grad_()
    before = tagger.logits(x)[0, 0, tag]
    (gradient,) = torch.autograd.grad(before, x)
    step = 1e-2 / float(gradient.square().sum())
    with torch.inference_mode():
        after = tagger.logits(x + step * gradient)[0, 0, tag]
    assert float(after - before.detach()) == pytest.approx(1e-2, rel=0.3)


@pytest.mark.parametrize(
    ("path", "tag"),
    [
        ("duet/violin.flac", "violin"),
        ("duet/piano.flac", "piano"),
        ("band/flute.flac", "flute"),
        ("band/drums.flac", "drums"),
        ("song/guitar.flac", "guitar"),
        ("song/vocals.flac", "choir"),
    ],
)
def test_the_most_probable_tag_of_an_instrument_is_its_name(tagger, path, tag):
    with torch.inference_mode():
        probabilities = tagger(excerpt(EXAMPLES / path)).probabilities[0]
    assert tagger.tags[int(probabilities.argmax())] == tag


def test_a_recorded_duet_of_violin_and_guitar(shared, tagger):
    folder = shared / "data" / "duets" / "Track00001"
    top = {}
    for part in ("mix", "stems/S00", "stems/S01"):
        with torch.inference_mode():
            probabilities = tagger(excerpt(folder / f"{part}.flac", 12)).probabilities[0]
        top[part] = {tagger.tags[i] for i in probabilities.topk(6).indices.tolist()}
    assert {"classical", "violin", "strings"} <= top["mix"]
    assert {"classical", "violin", "strings"} <= top["stems/S00"]
    assert "guitar" in top["stems/S01"]
