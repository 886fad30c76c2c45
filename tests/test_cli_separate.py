"""`tagbox separate` and `tagbox transfer` as people run them."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from cli_runner import StartProgram, assert_refused, run_tagbox
from tagbox import audio
from tagbox.generators import pretrained
from tagbox.generators.training.train import new_model
from tagbox.generators.vqvae import VQVAEConfig

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DUET = EXAMPLES / "duet" / "mixture.flac"


def test_a_separation_and_what_is_written(tmp_path: Path) -> None:
    command = ("separate", DUET, "--tags", "violin", "--tags", "piano", "-o", tmp_path, "--steps", 2)
    command = (*command, "--factorisations", 2)
    code, out, err = run_tagbox(
        *command, "--start", 2, "--duration", 3, "--format", "flac", "--bits", 16, "--plot"
    )
    assert code == 0, err
    folder = tmp_path / "mixture"
    names = {path.name for path in folder.iterdir()}
    assert names == {"violin.flac", "piano.flac", "residual.flac", "run.json", "plot.png"}
    tracks = [audio.read(folder / f"{name}.flac") for name in ("violin", "piano", "residual")]
    mixture = audio.read(DUET, 2, 3)
    assert all(track.rate == mixture.rate for track in tracks)
    total = sum(track.samples for track in tracks)
    torch.testing.assert_close(total, mixture.samples, atol=2 / 32768, rtol=0)
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["input"]["sha256"] == audio.fingerprint(DUET)
    assert manifest["input"]["start"] == 2
    assert manifest["runs"][0]["steps"] == 2
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "predicts violin" in out
    assert str(folder / "violin.flac") in out
    assert "step 1" in err

    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert_refused(run_tagbox(*command), "--force")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere.wav", "--tags", "violin"], "there is no file nowhere.wav"),
        ([DUET, "--tags", "violn"], "did you mean violin"),
        ([DUET, "--tags", "violin", "--preset", "papr"], "no preset is called 'papr'"),
        ([DUET, "--tags", "violin", "--fft", "3"], "FFT size of 3"),
        ([DUET, "--tags", "violin", "--lr", "1e38"], "up to 1e+06"),
        ([DUET, "--tags", "violin", "--format", "mp3"], "choose one of wav, flac"),
        ([DUET, "--tags", "violin", "--start", "99"], "start earlier"),
        ([DUET, "--tags", "violin", "--tagger", "hcnn"], "the preset steered"),
        (
            [DUET, "--tags", "violin", "--tagger", "hcnn", "--preset", "steered"],
            "tagbox models pull mtat/hcnn",
        ),
        ([DUET, EXAMPLES / "band" / "mixture.flac", "--tags", "violin"], "one at a time"),
    ],
)
def test_an_error_is_one_line_and_nothing_is_written(
    tmp_path: Path, words: list[object], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path / "home"))
    out = tmp_path / "out"
    assert_refused(run_tagbox("separate", *words, "-o", out), complaint, path=out)


def test_ctrl_c_writes_the_best_so_far(tmp_path: Path, start_program: StartProgram) -> None:
    command = [sys.executable, "-m", "tagbox", "separate", str(DUET), "--tags", "violin", "-o", str(tmp_path)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = start_program(
        [*command, "--steps", "100000", "--factorisations", "1", "--duration", "3"], env=environment
    )
    assert process.stderr is not None
    deadline = time.monotonic() + 120
    while "step 1" not in process.stderr.readline():
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Ctrl-C" in errors
    manifest = json.loads((tmp_path / "mixture" / "run.json").read_text())
    assert manifest["runs"][0]["stopped"] == "interrupted"
    assert audio.read(tmp_path / "mixture" / "violin.wav").duration == pytest.approx(3, abs=1e-3)


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    """A tiny generator, untrained: it decodes to noise, and that is enough here."""
    path = tmp_path / "tiny.safetensors"
    pretrained.save_generator_file(new_model(VQVAEConfig((4,), (1,), (3,), entries=8), 0), path, "MIT", {})
    return path


def test_a_transfer_and_what_is_written(tmp_path: Path, generator: Path) -> None:
    out = tmp_path / "guitar.wav"
    command = ("transfer", DUET, "--tags", "guitar", "-o", out, "--generator", generator, "--steps", 2)
    code, _, err = run_tagbox(*command, "--duration", 1)
    assert code == 0, err
    assert audio.read(out).duration == pytest.approx(1, abs=1e-3)
    assert json.loads((tmp_path / "guitar.run.json").read_text())["generator"]["name"] == "tiny"
    assert_refused(run_tagbox(*command), "--force")
    assert_refused(
        run_tagbox("transfer", DUET, "--tags", "guitar", "-o", tmp_path / "g.mp3"), ".wav or .flac"
    )


def test_a_trained_generator_steers_a_separation(tmp_path: Path, generator: Path) -> None:
    command = ("separate", DUET, "--duration", 1, "--tags", "violin", "-o", tmp_path, "--preset", "paper")
    code, _, err = run_tagbox(
        *command, "--generator", generator, "--tagger", "pons-musicnn", "--steps", 2, "--lr", 1
    )
    assert code == 0, err
    manifest = json.loads((tmp_path / "mixture" / "run.json").read_text())
    assert manifest["settings"]["taggers"] == ["mtat/pons-musicnn"]
    assert manifest["settings"]["fft"] == [512, 1024, 2048]
