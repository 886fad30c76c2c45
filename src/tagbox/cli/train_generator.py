"""``tagbox train-generator``."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagbox.cli import cost_estimate
from tagbox.cli.error_messages import check_folder
from tagbox.cli.options import Device
from tagbox.cli.output import Output, Quiet
from tagbox.errors import TagBoxError

if TYPE_CHECKING:
    from tagbox.generators.training.dataset import TrainingFile

    pass


def train_generator(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of recordings to learn from.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write, .safetensors.", show_default=False)
    ],
    held_out: Annotated[
        Path | None, typer.Option(help="Folder to judge by; every tenth recording when left out.")
    ] = None,
    levels: Annotated[int, typer.Option(help="1 to 3 levels, of hops 8, 32 and 128.")] = 3,
    width: Annotated[int, typer.Option(help="Channels of the convolutions.")] = 32,
    depth: Annotated[int, typer.Option(help="Residual blocks after each halving.")] = 4,
    entries: Annotated[int, typer.Option(help="Of each level's codebook.")] = 2048,
    steps: Annotated[int, typer.Option(help="Of each level.")] = 5000,
    batch: Annotated[int, typer.Option(help="Excerpts a step.")] = 8,
    samples: Annotated[int, typer.Option(help="Of an excerpt, at 44.1 kHz.")] = 8192,
    lr: Annotated[float, typer.Option(help="Adam's rate at its highest.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of weights, codebooks and excerpts.")] = 0,
    bf16: Annotated[
        bool, typer.Option(help="Compute in bfloat16: faster where the processor has it.")
    ] = True,
    device: Device = "auto",
    licence: Annotated[str, typer.Option(help="What to write about the weights' licence.")] = "unknown",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a training was interrupted.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a generator on your own recordings, for: tagbox separate --generator FILE --steer latents.

    It is Jukebox's VQ-VAE at a size of your choice, trained with Jukebox's losses, one level after the other.
    Checkpoints lie in OUT.training until the end; after Ctrl-C, the same command with --resume goes on.

    Example:

      tagbox train-generator music/ -o mine.safetensors --steps 5000
    """
    feel = Output(quiet)
    check_folder(out.parent)
    from tagbox.atomic_files import refuse_to_overwrite
    from tagbox.cli.progress import TrainingReporter
    from tagbox.generators import pretrained
    from tagbox.generators.training import dataset, train
    from tagbox.generators.vqvae import VQVAEConfig
    from tagbox.kernels import devices

    if out.suffix != ".safetensors":
        raise TagBoxError(f"{out} is to hold weights; give it the ending .safetensors")
    for name, value, most in (("--levels", levels, 3), ("--width", width, 512), ("--depth", depth, 8)):
        if not 1 <= value <= most:
            raise TagBoxError(f"{name} is {value}; give 1 to {most}")
    for name, value, least in (("--entries", entries, 2), ("--steps", steps, 1), ("--batch", batch, 1)):
        if value < least:
            raise TagBoxError(f"{name} is {value}; give {least} or more")
    if samples < dataset.SHORTEST:
        raise TagBoxError(f"--samples is {samples}; give {dataset.SHORTEST} or more")
    if not 0 < lr < 1:
        raise TagBoxError(f"--lr is {lr}; give a rate between 0 and 1, such as 0.001")
    refuse_to_overwrite(out, force)
    checkpoints = out.with_suffix(".training")
    if checkpoints.exists() and not resume:
        raise TagBoxError(
            f"a training of {out.name} was interrupted ({checkpoints} exists); give --resume to go on, "
            "or remove that folder to begin again"
        )
    design = VQVAEConfig((width,) * levels, (depth,) * levels, (3, 2, 2)[:levels], entries=entries)
    settings = train.TrainingSettings(steps, batch, samples, lr, seed, bf16)
    learn, judge = _split(dataset.find(folders), held_out)
    model = train.new_model(design, seed).to(devices.select_device(device))
    checkpoints.mkdir(parents=True, exist_ok=True)
    minutes = sum(recording.seconds for recording in learn) / 60
    feel.result(f"{len(learn)} recordings to learn from ({minutes:.0f} min), {len(judge)} to judge by")
    if cost_estimate.on_cpu(device):
        expected = cost_estimate.expect_training(levels, steps, batch, samples, width)
        cost_estimate.say(feel, expected, "take a smaller --batch or --samples")
    qualities = {}
    for level in range(levels):
        with TrainingReporter(level, steps, feel) as reporter:
            train.train_level(model, level, learn, settings, checkpoints / f"level{level}.pt", reporter.step)
        quality = train.judge(model, level, judge)
        qualities[f"level{level}"] = (
            f"SNR {quality.snr:.2f} dB, spectral convergence {quality.convergence:.4f}"
        )
        feel.result(
            f"level {level} (hop {design.hops[level]}) on recordings it did not learn from: "
            f"{qualities[f'level{level}']}, {quality.used:.0%} of the codebook in use"
        )
    pretrained.write(model, out, licence, qualities, force)
    shutil.rmtree(checkpoints)
    feel.result(out)


def _split(
    recordings: "list[TrainingFile]", held_out: Path | None
) -> "tuple[list[TrainingFile], list[TrainingFile]]":
    """To learn from and to judge by."""
    from tagbox.generators.training import dataset

    if held_out is not None:
        judge = dataset.find([held_out])
        both = {r.path.resolve() for r in judge}
        learn = [r for r in recordings if r.path.resolve() not in both]
    else:
        judge = recordings[::10]
        learn = [r for i, r in enumerate(recordings) if i % 10]
    if not learn:
        raise TagBoxError("no recording is left to learn from; give more than one, or another --held-out")
    return learn, judge
