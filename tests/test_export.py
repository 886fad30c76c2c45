"""Taggers as ONNX: the same numbers in onnxruntime, at any length."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cli_runner import assert_refused, run_tagbox
from tagbox import audio
from tagbox.cli.export import TAGGERS
from tagbox.export import EXPORTABLE, RealSTFT
from tagbox.models import load_tagger
from tagbox.taggers.networks import share_unet
from tagbox.tags.vocabularies import RENDERED_CLASSES, TAGS

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"

PARITY = 1e-4
"""Of shares, from 0 to 1."""


def recording(rate: int) -> Tensor:
    duet = audio.read(DUET, 2, 4)
    return audio.resample(duet.samples.mean(dim=0), duet.rate, rate)


@pytest.fixture
def runtime() -> object:
    pytest.importorskip("onnx", reason="onnx is not installed")
    return pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.mark.parametrize(("fft", "hop"), [(1024, 512), (512, 128), (8, 8)])
def test_the_stft_of_real_products_is_that_of_pytorch(fft: int, hop: int) -> None:
    sound = recording(16_000)[None, :20_001]
    window = torch.hann_window(fft)
    expected = torch.stft(sound, fft, hop, window=window, return_complex=True, pad_mode="reflect")
    made = torch.complex(*RealSTFT(fft, hop)(sound))
    assert made.shape == expected.shape
    # About ten roundings in each of the sums.
    assert float((made - expected).abs().max()) <= 2e-6 * float(expected.abs().max())


def test_the_listener_in_onnxruntime(runtime: object, tmp_path: Path) -> None:
    path = tmp_path / "new" / "listener.onnx"
    code, out, err = run_tagbox("export", path)
    assert (code, out.strip(), err) == (0, str(path), "")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])  # type: ignore[attr-defined]
    listener = load_tagger("listener", "rendered")
    sound = recording(listener.rate)
    for samples in (listener.window, 30_001, 2_000):
        windows = torch.stack([sound[:samples], sound[5_000 : 5_000 + samples]])
        (shares,) = session.run(None, {"audio": windows.numpy()})
        with torch.no_grad():
            expected = torch.sigmoid(listener.network(listener.frontend(windows))).numpy()
        assert shares.shape == expected.shape and np.abs(shares - expected).max() <= PARITY
    metadata = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(metadata["tags"])) == TAGS["rendered"]
    assert (metadata["rate"], metadata["licence"]) == ("16000", "MIT")
    assert metadata["weights"] == listener.weights_hash
    assert_refused(run_tagbox("export", path), "--force")
    assert [each.name for each in path.parent.iterdir()] == ["listener.onnx"]


@pytest.mark.slow
def test_the_share_network_in_onnxruntime(runtime: object, tmp_path: Path) -> None:
    path = tmp_path / "shares.onnx"
    assert run_tagbox("export", path, "--tagger", "rendered/shares")[0] == 0
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])  # type: ignore[attr-defined]
    tagger = load_tagger("shares", "rendered")
    sound = recording(tagger.rate)
    stereo = torch.stack([sound[:60_000], sound[3_000:63_000]])[None]
    (shares,) = session.run(None, {"audio": stereo.numpy()})
    with torch.no_grad():
        heard = share_unet.features(share_unet.GRID.stft(stereo))
        assert isinstance(tagger.network, share_unet.ShareUNet)
        expected = torch.softmax(tagger.network.patch_logits(heard), dim=1).numpy()
    assert shares.shape == expected.shape and shares.shape[1] == len(RENDERED_CLASSES)
    assert np.abs(shares - expected).max() <= PARITY
    tags = json.loads(session.get_modelmeta().custom_metadata_map["tags"])
    assert tuple(tags) == RENDERED_CLASSES


def test_what_cannot_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tuple(EXPORTABLE) == TAGGERS
    path = tmp_path / "fcn.onnx"
    assert_refused(run_tagbox("export", path, "--tagger", "mtat/fcn"), "rendered/listener", path=path)
    monkeypatch.setattr("tagbox.export.find_spec", lambda name: None)
    assert_refused(run_tagbox("export", path), "pip install 'tagbox[onnx]'", path=path)
