"""``tagbox separate`` and ``tagbox transfer``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tagbox.errors import TagBoxError

Input = Annotated[
    list[Path], typer.Argument(help="Recordings: wav, flac, ogg, mp3 or aiff.", show_default=False)
]
Tags = Annotated[
    list[str],
    typer.Option(
        "--tags", "-t", help="What to look for; 'violin+cello' is one source of two. See: tagbox tags"
    ),
]
Preset = Annotated[
    str,
    typer.Option(help="default (ours), paper (Algorithm 1), published-code (faults and all) or transfer."),
]
Steps = Annotated[int | None, typer.Option(help="Steps of the loop, at the most.")]
Rate = Annotated[
    float | None, typer.Option("--lr", help="Adam's rate; latents want 0.05 to 20, gates 0.1 to 1.")
]
Patience = Annotated[
    int | None, typer.Option(help="Stop after so many steps without progress; 0 never does.")
]
Fft = Annotated[list[int] | None, typer.Option("--fft", help="FFT size in samples; repeat for several.")]
Taggers = Annotated[
    list[str] | None,
    typer.Option("--tagger", help="Who listens, as fcn or mtat/fcn; repeat for several. See: tagbox models"),
]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="What taggers named without data learnt: mtat, jamendo, msd."),
]
GeneratorName = Annotated[str | None, typer.Option("--generator", help="embedded, jukebox or a file.")]
Level = Annotated[int | None, typer.Option(help="Of the generator: 0 is the finest.")]
Quantiser = Annotated[str | None, typer.Option(help="straight-through, none or published.")]
Objective = Annotated[str | None, typer.Option(help="What falls; a wrong name lists them.")]
Padding = Annotated[str | None, typer.Option(help="Fill taggers' windows by repeat or zeros.")]
Seed = Annotated[int | None, typer.Option(help="Of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Precision = Annotated[str | None, typer.Option(help="Networks compute in float32, bfloat16 or auto.")]
Segment = Annotated[
    float | None, typer.Option(help="Longer recordings are cut into segments of so many seconds; 0 never.")
]
Overlap = Annotated[float | None, typer.Option(help="Of neighbouring segments, seconds.")]
Start = Annotated[float, typer.Option(help="Begin at this second of the recording.")]
Duration = Annotated[float | None, typer.Option(help="Take so many seconds; all when left out.")]
Bits = Annotated[str | None, typer.Option(help="16, 24 or float; wav is float and flac 24 unless given.")]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
Plot = Annotated[bool, typer.Option("--plot", help="Draw spectrograms and the tags' curves as a PNG.")]

LONGEST_PLOT_SECONDS = 600


def separate(
    inputs: Input,
    tags: Tags,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)],
    preset: Preset = "default",
    steer: Annotated[str | None, typer.Option(help="What moves: gates or latents.")] = None,
    components: Annotated[int | None, typer.Option(help="How many parts the gates choose among.")] = None,
    factorisations: Annotated[
        int | None, typer.Option(help="How often it is taken apart anew; the mean counts.")
    ] = None,
    begin: Annotated[str | None, typer.Option(help="Gates begin even, or as heard.")] = None,
    generator: GeneratorName = None,
    level: Level = None,
    quantiser: Quantiser = None,
    tagger: Taggers = None,
    data: Data = None,
    objective: Objective = None,
    output: Annotated[str | None, typer.Option(help="Which side of the mask is the source.")] = None,
    fft: Fft = None,
    combine: Annotated[str | None, typer.Option(help="FFT sizes in the result: mean or last.")] = None,
    steps: Steps = None,
    lr: Rate = None,
    patience: Patience = None,
    padding: Padding = None,
    seed: Seed = None,
    device: Device = "auto",
    precision: Precision = None,
    segment: Segment = None,
    overlap: Overlap = None,
    start: Start = 0.0,
    duration: Duration = None,
    format: Annotated[str, typer.Option(help="wav or flac.")] = "wav",
    bits: Bits = None,
    plot: Plot = False,
    force: Force = False,
) -> None:
    """Take what the tags name out of each recording.

    Writes OUT/<recording>/<tag>.wav for each tag, residual.wav (all of them add up to the recording) and
    run.json, which says how it was made. Ctrl-C stops early and keeps the best so far.

    Examples:

      tagbox separate duet.flac --tags violin -o out

      tagbox separate band.flac --tags drums --tags guitar -o out --plot

      tagbox separate song.mp3 --tags vocals -o out --preset paper --start 30 --duration 20
    """
    from tagbox.results import FORMATS

    if format not in FORMATS:
        raise TagBoxError(f"no result is written as {format!r}; choose one of {', '.join(FORMATS)}")
    overrides = _overrides(
        preset,
        tagger,
        data,
        fft,
        steer=steer,
        components=components,
        factorisations=factorisations,
        begin=begin,
        generator=generator,
        level=level,
        quantiser=quantiser,
        objective=objective,
        output=output,
        combine=combine,
        steps=steps,
        lr=lr,
        patience=patience,
        padding=padding,
        seed=seed,
        precision=precision,
        segment=segment,
        overlap=overlap,
    )
    _distinct(inputs)
    for path in inputs:
        folder = out / path.stem
        _refuse(folder / "run.json", force)
    for path in inputs:
        stopped = _separate_one(
            path, out / path.stem, tags, preset, device, start, duration, format, bits, plot, force, overrides
        )
        _leave_if_stopped(stopped)


def _separate_one(
    path: Path,
    folder: Path,
    tags: list[str],
    preset: str,
    device: str,
    start: float,
    duration: float | None,
    format: str,
    bits: str | None,
    plot: bool,
    force: bool,
    overrides: dict[str, Any],
) -> str:
    """Separate one recording and say why its loop ended."""
    from tagbox.cli.progress import StepReporter
    from tagbox.separation import separate_file

    if plot:
        _refuse(folder / "plot.png", force)
        _short_enough_to_plot(path, start, duration)
    with StepReporter(path.name) as reporter:
        result = separate_file(
            path,
            folder,
            tags,
            preset=preset,
            device=device,
            start=start,
            duration=duration,
            format=format,
            bits=bits,
            force=force,
            on_step=reporter.step,
            on_segment=reporter.segment,
            **overrides,
        )
    if result.note is not None:
        typer.echo(result.note, err=True)
    written = list(result.paths)
    if plot:
        from tagbox.plots import save_separation

        written.append(save_separation(result.read(), folder / "plot.png", force))
    reporter.report(result.manifest, written)
    return result.stopped


def _short_enough_to_plot(path: Path, start: float, duration: float | None) -> None:
    from tagbox.recordings import OnDisk

    found = OnDisk.of(path, start, duration)
    if found.samples > LONGEST_PLOT_SECONDS * found.rate:
        raise TagBoxError(
            f"a plot of more than {LONGEST_PLOT_SECONDS} s shows nothing; leave --plot out, or choose an "
            "excerpt with --start and --duration"
        )


def _leave_if_stopped(stopped: str) -> None:
    """After Ctrl-C nothing further is begun; a loss that is no number is a setting to change."""
    codes = {"interrupted": 130, "non-finite": 2}
    if stopped in codes:
        raise typer.Exit(codes[stopped])


def transfer(
    input: Annotated[Path, typer.Argument(help="A recording.", show_default=False)],
    tags: Tags,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write, .wav or .flac.", show_default=False)
    ],
    preset: Preset = "transfer",
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
) -> None:
    """Re-synthesise a recording towards the tags: the generator's own voice, without the mask.

    Expect artefacts; the original authors compare it to a recording made in a snowstorm.

    Example:

      tagbox transfer duet.flac --tags guitar -o guitar.wav
    """
    from tagbox import audio
    from tagbox.cli.progress import StepReporter
    from tagbox.separation import transfer as run

    if out.suffix.lower() not in (".wav", ".flac"):
        raise TagBoxError(
            f"{out} is to be written, and only .wav and .flac can be; give it one of these endings"
        )
    _refuse(out, force)
    _refuse(out.with_suffix(".run.json"), force)
    overrides = _overrides(
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
    recording = audio.read(input, start, duration)
    with StepReporter(input.name) as reporter:
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
    reporter.report(result.manifest, [result.save(out, bits=bits, force=force)])
    _leave_if_stopped(result.stopped)


def _overrides(
    preset: str,
    tagger: list[str] | None,
    data: list[str] | None,
    fft: list[int] | None,
    **settings: Any,
) -> dict[str, Any]:
    """The settings that were given, checked before anything heavy is loaded."""
    from tagbox import presets

    base = presets.find(preset).settings
    taggers = None
    if tagger or data:
        names = tagger or [name.partition("/")[2] for name in base.taggers]
        default = list(dict.fromkeys(name.partition("/")[0] for name in base.taggers))
        taggers = tuple(
            dict.fromkeys(
                name if "/" in name else f"{learnt}/{name}" for name in names for learnt in (data or default)
            )
        )
    overrides = {**settings, "taggers": taggers, "fft": tuple(fft) if fft else None}
    presets.override(base, **overrides)
    return overrides


def _source(path: Path, start: float, duration: float | None) -> dict[str, Any]:
    from tagbox import audio

    return {"file": path.name, "sha256": audio.fingerprint(path), "start": start, "duration": duration}


def _refuse(path: Path, force: bool) -> None:
    from tagbox.files import refuse_to_overwrite

    refuse_to_overwrite(path, force)


def _distinct(inputs: list[Path]) -> None:
    stems = [path.stem for path in inputs]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise TagBoxError(
            f"several recordings are called {', '.join(twice)}, and their results would share a folder; "
            "separate them one at a time"
        )
