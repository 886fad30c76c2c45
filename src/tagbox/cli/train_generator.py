"""``tagbox train-generator``."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagbox.cli.checks import check_folder
from tagbox.cli.options import Device, Force
from tagbox.cli.output import Output, Quiet
from tagbox.errors import OutputExistsError, TagBoxError

if TYPE_CHECKING:
    from tagbox.generators.training.dataset import TrainingFile
    from tagbox.generators.training.train import TrainingSettings
    from tagbox.generators.vqvae import VQVAE, VQVAEConfig

SUFFIX = ".safetensors"
STRIDES = (3, 2, 2)
"""Of Jukebox's levels, as powers of two: hop lengths of 8, 32 and 128 samples."""
HELD_OUT_EVERY = 10


def train_generator(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER", help="Folders of recordings to train on.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help=f"File to write: {SUFFIX}.", show_default=False)],
    held_out: Annotated[
        Path | None,
        typer.Option(help="Folder of recordings to evaluate on; if left out, every tenth recording."),
    ] = None,
    levels: Annotated[int, typer.Option(help="Number of levels, 1 to 3, of hop lengths 8, 32 and 128.")] = 3,
    width: Annotated[int, typer.Option(help="Channels of the convolutions.")] = 32,
    depth: Annotated[int, typer.Option(help="Residual blocks after each downsampling.")] = 4,
    entries: Annotated[int, typer.Option(help="Entries of each level's codebook.")] = 2048,
    steps: Annotated[int, typer.Option(help="Training steps for each level.")] = 5000,
    batch: Annotated[int, typer.Option(help="Excerpts in a batch.")] = 8,
    samples: Annotated[int, typer.Option(help="Length of an excerpt in samples, at 44.1 kHz.")] = 8192,
    lr: Annotated[float, typer.Option(help="Adam's learning rate at its highest.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Seed of the weights, codebooks and excerpts.")] = 0,
    bf16: Annotated[
        bool, typer.Option(help="Compute in bfloat16, which is faster where the processor supports it.")
    ] = True,
    device: Device = "auto",
    licence: Annotated[
        str, typer.Option(help="Licence of the weights, to be recorded in the file.")
    ] = "unknown",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted training.")] = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Train a generator on your own recordings, for `tagbox separate --steer latents --generator FILE`.

    It is Jukebox's VQ-VAE at a size of your choice, trained with Jukebox's
    losses, one level after the other. Checkpoints are kept in OUT.training
    until the end; after Ctrl-C, the same command with --resume continues.

    Example:

      tagbox train-generator music/ -o mine.safetensors --steps 5000
    """
    output = Output(quiet)
    check_folder(out.parent)
    from tagbox.atomic_files import refuse_to_overwrite
    from tagbox.generators.pretrained import save_generator_file
    from tagbox.generators.training import dataset, train
    from tagbox.generators.vqvae import VQVAEConfig
    from tagbox.kernels import devices

    if out.suffix != SUFFIX:
        raise TagBoxError(f"{out} is to hold weights; give it the ending {SUFFIX}")
    for option, value, least, most in (
        ("--levels", levels, 1, len(STRIDES)),
        ("--width", width, 1, 512),
        ("--depth", depth, 1, 8),
        ("--entries", entries, 2, None),
        ("--steps", steps, 1, None),
        ("--batch", batch, 1, None),
        ("--samples", samples, dataset.MIN_EXCERPT_SAMPLES, None),
    ):
        _check_range(option, value, least, most)
    if not 0 < lr < 1:
        raise TagBoxError(f"--lr is {lr}; give a learning rate between 0 and 1, such as 0.001")
    refuse_to_overwrite(out, force)
    checkpoints = out.with_suffix(".training")
    if checkpoints.exists() and not resume:
        raise OutputExistsError(
            f"a training of {out.name} was interrupted ({checkpoints} exists); give --resume to continue it, "
            "or remove that folder to start again"
        )
    config = VQVAEConfig((width,) * levels, (depth,) * levels, STRIDES[:levels], entries=entries)
    settings = train.TrainingSettings(steps, batch, samples, lr, seed, bf16)
    training, evaluation = _split(dataset.find_training_files(folders, output.print_note), held_out)
    for recording in (*training, *evaluation):
        if recording.note is not None:
            output.print_note(recording.note)
    model = train.new_model(config, seed).to(devices.select_device(device))
    checkpoints.mkdir(parents=True, exist_ok=True)
    minutes = sum(recording.seconds for recording in training) / 60
    output.print_result(
        f"{len(training)} recordings to train on ({minutes:.0f} min), {len(evaluation)} to evaluate on"
    )
    qualities = _train_levels(model, config, settings, training, evaluation, checkpoints, output)
    save_generator_file(model, out, licence, qualities, force)
    shutil.rmtree(checkpoints)
    output.print_result(out)


def _train_levels(
    model: "VQVAE",
    config: "VQVAEConfig",
    settings: "TrainingSettings",
    training: "Sequence[TrainingFile]",
    evaluation: "Sequence[TrainingFile]",
    checkpoints: Path,
    output: Output,
) -> dict[str, str]:
    """Train one level after the other; return the quality of each, in words."""
    from tagbox.cli.progress import TrainingReporter
    from tagbox.generators.training import train

    qualities = {}
    for level, hop_length in enumerate(config.hops):
        with TrainingReporter(level, settings.steps, output) as reporter:
            checkpoint = checkpoints / f"level{level}.pt"
            train.train_level(model, level, training, settings, checkpoint, reporter.step)
        quality = train.judge_level(model, level, evaluation)
        words = f"SNR {quality.snr:.2f} dB, spectral convergence {quality.convergence:.4f}"
        qualities[f"level{level}"] = words
        output.print_result(
            f"level {level} (hop length {hop_length}) on recordings that it was not trained on: "
            f"{words}, {quality.used:.0%} of the codebook in use"
        )
    return qualities


def _check_range(option: str, value: int, least: int, most: int | None) -> None:
    if value < least or (most is not None and value > most):
        allowed = f"{least} or more" if most is None else f"{least} to {most}"
        raise TagBoxError(f"{option} is {value}; give {allowed}")


def _split(
    recordings: "list[TrainingFile]", held_out: Path | None
) -> "tuple[list[TrainingFile], list[TrainingFile]]":
    """Split recordings into those to train on and those to evaluate on.

    Raises:
        TagBoxError: none is left to train on.
    """
    from tagbox.generators.training import dataset

    if held_out is None:
        evaluation = recordings[::HELD_OUT_EVERY]
        training = [recording for i, recording in enumerate(recordings) if i % HELD_OUT_EVERY]
    else:
        evaluation = dataset.find_training_files([held_out])
        excluded = {recording.path.resolve() for recording in evaluation}
        training = [recording for recording in recordings if recording.path.resolve() not in excluded]
    if not training:
        raise TagBoxError("no recording is left to train on; give more than one, or another --held-out")
    return training, evaluation
