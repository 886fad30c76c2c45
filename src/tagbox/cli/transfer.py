"""``tagbox transfer``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tagbox import presets
from tagbox.atomic_files import refuse_to_overwrite
from tagbox.cli import cost_estimate
from tagbox.cli.error_messages import check_files, check_folder, check_words
from tagbox.cli.options import (
    Bits,
    Data,
    Device,
    Duration,
    Force,
    GeneratorName,
    Level,
    Objective,
    Padding,
    Patience,
    Precision,
    Quantiser,
    Rate,
    Seed,
    Start,
    Steps,
    Taggers,
    Tags,
    TransferPreset,
    check_models,
    described,
    leave_if_stopped,
    overrides_of,
)
from tagbox.cli.output import Json, Output, Quiet, Verbose
from tagbox.errors import TagBoxError


def transfer(
    input: Annotated[Path, typer.Argument(help="A recording.", show_default=False)],
    tags: Tags,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write, .wav or .flac.", show_default=False)
    ],
    preset: TransferPreset = "transfer",
    generator: GeneratorName = None,
    level: Level = None,
    quantiser: Quantiser = None,
    tagger: Taggers = None,
    data: Data = None,
    objective: Objective = None,
    steps: Steps = None,
    lr: Rate = None,
    patience: Patience = None,
    padding: Padding = None,
    seed: Seed = None,
    device: Device = "auto",
    precision: Precision = None,
    start: Start = 0.0,
    duration: Duration = None,
    bits: Bits = None,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Re-synthesise a recording towards the tags: the generator's own voice, without the mask.

    Expect artefacts; the original authors compare it to a recording made in a snowstorm.

    Example:

      tagbox transfer duet.flac --tags guitar -o guitar.wav
    """
    feel = Output(quiet, verbose, json)
    check_files([input])
    check_folder(out.parent)
    if out.suffix.lower() not in (".wav", ".flac"):
        raise TagBoxError(
            f"{out} is to be written, and only .wav and .flac can be; give it one of these endings"
        )
    refuse_to_overwrite(out, force)
    refuse_to_overwrite(out.with_suffix(".run.json"), force)
    check_words(tags, presets.find(preset).settings)
    overrides = overrides_of(
        preset,
        tagger,
        data,
        None,
        generator=generator,
        level=level,
        quantiser=quantiser,
        objective=objective,
        steps=steps,
        lr=lr,
        patience=patience,
        padding=padding,
        seed=seed,
        precision=precision,
    )
    from tagbox import audio
    from tagbox.api import transfer as run
    from tagbox.cli.progress import StepReporter, report

    settings = presets.override(presets.find(preset).settings, **overrides)
    check_models(settings)
    feel.detail(described(preset, settings))
    recording = audio.read(input, start, duration)
    cost_estimate.announce(feel, settings, recording.duration, recording.channels, 1, device)
    with StepReporter(input.name, feel, settings.steps) as reporter:
        result = run(
            recording.samples,
            recording.rate,
            tags,
            preset=preset,
            device=device,
            on_step=reporter.step,
            source=_source(input, start, duration),
            **overrides,
        )
    written = [result.save(out, bits=bits, force=force)]
    report(feel, result.manifest, written)
    feel.document(lambda: {"written": [str(path) for path in written], **result.manifest})
    leave_if_stopped(result.stopped)


def _source(path: Path, start: float, duration: float | None) -> dict[str, Any]:
    from tagbox import audio

    return {"file": path.name, "sha256": audio.fingerprint(path), "start": start, "duration": duration}
