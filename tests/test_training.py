"""Train a generator: it learns, it resumes at its checkpoint, and it is judged by other recordings."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.golden import signal as tones
from cli_runner import StartProgram, assert_refused, run_tagbox
from tagbox import audio, models
from tagbox.errors import TagBoxError
from tagbox.generators.training import dataset, losses, quality
from tagbox.generators.training.train import Progress, TrainingSettings, judge_level, new_model, train_level
from tagbox.generators.vqvae import VQVAE, VQVAEConfig

SMALL = VQVAEConfig((8,), (1,), (2,), dimensions=8, entries=64)
SETTINGS = TrainingSettings(steps=60, batch=4, samples=2400, lr=3e-3, bf16=False)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for i in range(4):
        audio.write(folder / f"{i}.wav", torch.from_numpy(tones(44_100, 44_100, i)) * 0.5, 44_100)
    (folder / "notes.txt").write_text("no recording")
    return folder


def train(model: VQVAE, music: Path, checkpoint: Path, steps: int = 60) -> list[Progress]:
    progress: list[Progress] = []
    settings = TrainingSettings(**{**vars(SETTINGS), "steps": steps})
    train_level(model, 0, dataset.find_training_files([music]), settings, checkpoint, progress.append)
    return progress


def test_it_learns(music: Path, tmp_path: Path) -> None:
    model = new_model(SMALL, 0)
    recordings = dataset.find_training_files([music])
    assert [recording.path.name for recording in recordings] == ["0.wav", "1.wav", "2.wav", "3.wav"]
    progress = train(model, music, tmp_path / "level0.pt")
    assert len(progress) == 60
    assert progress[-1].snr > progress[0].snr + 3
    quality = judge_level(model, 0, recordings)
    assert quality.snr > 1
    assert 0 < quality.used <= 1


def test_the_same_seed_learns_the_same(music: Path, tmp_path: Path) -> None:
    first, again = (train(new_model(SMALL, 0), music, tmp_path / name, 5) for name in ("a.pt", "b.pt"))
    assert [p.loss for p in first] == pytest.approx([p.loss for p in again], rel=1e-4)


def test_it_goes_on_from_a_checkpoint(music: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "level0.pt"
    train(new_model(SMALL, 0), music, checkpoint, 40)
    saved = torch.load(checkpoint, weights_only=True)
    assert saved["step"] == 40
    progress = train(new_model(SMALL, 1), music, checkpoint, 50)
    assert [p.step for p in progress] == list(range(41, 51))
    other = TrainingSettings(**{**vars(SETTINGS), "batch": 5})
    with pytest.raises(TagBoxError, match="another batch"):
        train_level(new_model(SMALL, 0), 0, dataset.find_training_files([music]), other, checkpoint, print)
    checkpoint.write_text("broken")
    with pytest.raises(TagBoxError, match="no checkpoint"):
        train(new_model(SMALL, 0), music, checkpoint)


def test_excerpts_are_music_at_the_asked_rate(music: Path) -> None:
    batch = next(dataset.random_batches(dataset.find_training_files([music]), 3, 2400, 22_050, (0,)))
    assert batch.shape == (3, 1, 2400)
    assert (batch.abs().amax(dim=2) > 0.2).all()
    assert (batch.abs().amax(dim=2) <= 1).all()
    again = next(dataset.random_batches(dataset.find_training_files([music]), 3, 2400, 22_050, (0,)))
    assert torch.equal(batch, again)


def test_silence_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TagBoxError, match="no folder"):
        dataset.find_training_files([tmp_path / "none"])
    with pytest.raises(TagBoxError, match="no recordings"):
        dataset.find_training_files([tmp_path])
    audio.write(tmp_path / "silence.wav", torch.zeros(1, 44_100), 44_100)
    silence = dataset.find_training_files([tmp_path])
    with pytest.raises(TagBoxError, match="silence"):
        next(dataset.random_batches(silence, 1, 2400, 44_100, (0,)))
    with pytest.raises(TagBoxError, match="silent"):
        dataset.spread_excerpts(silence, 2, 2400, 44_100)


def test_losses_are_zero_for_perfection_and_one_for_silence() -> None:
    target = torch.from_numpy(tones(8192, 44_100, 0))[None, None]
    for loss in (losses.squared_error, losses.spectral_error, losses.largest_errors):
        assert float(loss(target, target)) == pytest.approx(0, abs=1e-6)
    silence = torch.zeros_like(target)
    assert float(losses.squared_error(target, silence)) == pytest.approx(1, abs=1e-3)
    assert float(losses.spectral_error(target, silence)) == pytest.approx(1, abs=1e-3)
    assert float(losses.largest_errors(target, silence)) > 1


def test_quality_is_what_its_definition_says() -> None:
    model = new_model(SMALL, 0)
    excerpt = torch.from_numpy(tones(4001, 44_100, 0))
    measured = quality.measure_quality(model, [excerpt], 0)
    target = excerpt[None, None, :4000]
    output, codes = quality.reconstruct(model, target, 0)
    expected = 10 * torch.log10(target.square().sum() / (output - target).square().sum())
    assert measured.snr == pytest.approx(float(expected), abs=1e-4)
    assert measured.used == pytest.approx(len(codes.unique()) / 64)


CHECKPOINTS_OFTEN = """
from tagbox.cli import main
from tagbox.generators.training import train
train.CHECKPOINT_SECONDS = 0.1
main()
"""


def test_an_interrupted_command_resumes(music: Path, tmp_path: Path, start_program: StartProgram) -> None:
    out = tmp_path / "mine.safetensors"
    small = "--levels 1 --width 4 --depth 1 --entries 32 --batch 1 --samples 2400"
    arguments = ["train-generator", str(music), "-o", str(out), *small.split(" ")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = start_program(
        [sys.executable, "-c", CHECKPOINTS_OFTEN, *arguments, "--steps", "100000"],
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert "4 recordings" not in process.stdout.readline()  # one of the four is held out
    checkpoint = tmp_path / "mine.training" / "level0.pt"
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "--resume" in errors
    assert not out.exists()
    step = torch.load(checkpoint, weights_only=True)["step"]
    assert step > 0

    assert_refused(run_tagbox(*arguments, "--steps", 10), "--resume", path=out)
    code, printed, errors = run_tagbox(*arguments, "--steps", step + 3, "--resume")
    assert code == 0, errors
    assert "SNR" in printed
    assert not checkpoint.parent.exists()
    assert models.load_generator(str(out)).hops == (8,)
