"""A recording and words in, sources and the rest out; or the music itself turned towards a word."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from tagbox import devices, manifest, objectives, presets
from tagbox.audio import resample
from tagbox.cast import UNION, Cast, assemble, recording
from tagbox.errors import TagBoxError
from tagbox.generator.generator import Generator
from tagbox.generator.quantisers import quantiser
from tagbox.loop import History, LoopSettings, OnStep, steer
from tagbox.presets import Settings
from tagbox.results import Run, Separation, Transfer
from tagbox.steerables.gates import Gates
from tagbox.steerables.latents import Latents, MaskedLatents, encode_padded
from tagbox.steerables.steerable import Steerable
from tagbox.taggers.tagger import Tagger, listen

GATES_RATE = 44_100
"""At which components are made, Hz."""


def separate(
    audio: ArrayLike | Tensor,
    rate: int,
    tags: Sequence[str],
    preset: str = "default",
    device: str = "auto",
    on_step: OnStep | None = None,
    source: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Separation:
    """Take what `tags` name out of a recording.

    Args:
        audio: (samples,) or (channels, samples), within [-1, 1] or not.
        rate: Hz.
        tags: one source each; "violin+cello" is one source of two tags.
        preset: see `tagbox.presets.PRESETS`.
        device: "auto", "cpu", "cuda" or "mps".
        on_step: called after every step of the loop; a true answer stops it.
        source: what is known of the recording, for the manifest.
        overrides: any field of `tagbox.presets.Settings`.

    Returns:
        sources by tag, and a residual, which together are the recording.

    Raises:
        TagBoxError: the recording, a tag or a setting cannot be used; says which and what to do.
    """
    begin = time.monotonic()
    settings = presets.override(presets.find(preset).settings, **overrides)
    channels = recording(audio, rate)
    cast = assemble(tags, settings, device)
    loaded = time.monotonic()

    work_rate = cast.generator.rate if cast.generator is not None else GATES_RATE
    working = _at_least(resample(channels.to(cast.device), rate, work_rate), max(settings.fft))
    if settings.normalise:
        working = working / working.abs().amax()
    beginning = working.mean(dim=0)
    if settings.mixture == "reconstruction":
        working = _reconstruction(_needed(cast), beginning, settings.level)[None]
    runs, rendered = _steer_all(cast, settings, working, beginning, work_rate, on_step)
    steered = time.monotonic()

    if settings.output == "residual":
        rendered = working - rendered
    samples = channels.shape[-1]
    if settings.mixture == "reconstruction":
        # Faithful to the published code: what is taken apart is not the recording, and it stays at its rate.
        mixture, out_rate = working.cpu(), work_rate
        estimates = rendered.cpu()
    else:
        mixture, out_rate = channels, rate
        estimates = _fit(resample(rendered, work_rate, rate), samples).cpu()
    sources = dict(zip(cast.words, estimates, strict=True))
    residual = mixture - estimates.sum(dim=0)
    heard = {
        name: _probabilities(cast.taggers, track, out_rate, settings.padding)
        for name, track in {"mixture": mixture, **sources, "residual": residual}.items()
    }
    seconds = {
        "loading": loaded - begin,
        "steering": steered - loaded,
        "all": time.monotonic() - begin,
        "audio": samples / rate,
    }
    known = {"rate": rate, "channels": channels.shape[0], "samples": samples}
    return Separation(
        sources=sources,
        residual=residual,
        rate=out_rate,
        runs=runs,
        manifest=_describe(
            cast, settings, preset, {**known, **(source or {})}, channels, runs, heard, seconds
        ),
    )


def transfer(
    audio: ArrayLike | Tensor,
    rate: int,
    tags: Sequence[str],
    preset: str = "transfer",
    device: str = "auto",
    on_step: OnStep | None = None,
    source: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Transfer:
    """Re-synthesise a recording towards `tags`: the generator's own voice, without the mask.

    The arguments are `separate`'s; several tags are one goal here.

    Returns:
        audio of the recording's length, rate and channels.

    Raises:
        TagBoxError: the recording, a tag or a setting cannot be used; says which and what to do.
    """
    begin = time.monotonic()
    settings = presets.override(presets.find(preset).settings, **overrides)
    if settings.steer != "latents":
        raise TagBoxError(
            f"style transfer steers a generator's latents, and {preset} steers {settings.steer}"
        )
    channels = recording(audio, rate)
    cast = assemble([UNION.join(tags)] if tags else tags, settings, device)
    generator = _needed(cast)
    loaded = time.monotonic()
    mono = _at_least(resample(channels.to(cast.device).mean(dim=0), rate, generator.rate), max(settings.fft))
    steerable = Latents(
        generator,
        mono,
        settings.level,
        quantiser(settings.quantiser, generator, settings.level, settings.seed),
    )
    memo, history = _loop(steerable, cast, cast.targets, settings, on_step)
    steered = time.monotonic()
    result = _fit(resample(memo, generator.rate, rate), channels.shape[-1]).cpu().expand(channels.shape)
    runs = (Run(cast.words, history),)
    heard = {
        name: _probabilities(cast.taggers, track, rate, settings.padding)
        for name, track in (("mixture", channels), ("result", result))
    }
    seconds = {"loading": loaded - begin, "steering": steered - loaded, "all": time.monotonic() - begin}
    known = {"rate": rate, "channels": channels.shape[0], "samples": channels.shape[1]}
    described = _describe(cast, settings, preset, {**known, **(source or {})}, channels, runs, heard, seconds)
    return Transfer(result, rate, history, described)


def _steer_all(
    cast: Cast, settings: Settings, working: Tensor, beginning: Tensor, rate: int, on_step: OnStep | None
) -> tuple[tuple[Run, ...], Tensor]:
    """Run the loop, once for all sources or once for each, and render: (sources, channels, samples).

    `working` (channels, samples) is what is taken apart, and `beginning` (samples,) what latents begin as.
    """
    mono = working.mean(dim=0)
    if settings.steer == "gates":
        heard_rate = cast.taggers[0].rate
        gates = Gates(
            mono, rate, len(cast.words), settings.components, max(settings.fft), heard_rate, settings.seed
        )
        memo, history = _loop(gates, cast, cast.targets, settings, on_step)
        return (Run(cast.words, history),), gates.render(memo, working)
    generator = _needed(cast)
    runs, rendered = [], []
    for i, word in enumerate(cast.words):
        quantise = quantiser(settings.quantiser, generator, settings.level, settings.seed)
        latents = MaskedLatents(
            generator, mono, settings.level, quantise, settings.fft, settings.combine, beginning
        )
        memo, history = _loop(
            latents, cast, [target[i : i + 1] for target in cast.targets], settings, on_step
        )
        runs.append(Run((word,), history))
        rendered.append(latents.render(memo, working))
        if history.stopped == "interrupted":
            # Whoever pressed Ctrl-C does not want to wait for the sources that have not begun.
            silence = torch.zeros_like(rendered[0])
            rendered += [silence] * (len(cast.words) - len(rendered))
            break
    return tuple(runs), torch.cat(rendered)


def _loop(
    steerable: Steerable,
    cast: Cast,
    targets: Sequence[Tensor],
    settings: Settings,
    on_step: OnStep | None,
) -> tuple[Tensor, History]:
    loop = LoopSettings(settings.steps, settings.lr, settings.patience, settings.padding, settings.keep)
    objective = objectives.find(settings.objective)
    dtype = devices.precision(settings.precision, cast.device)
    listeners = [tagger.lowered(dtype) for tagger in cast.taggers]
    return steer(steerable, listeners, targets, objective, loop, on_step)


def _needed(cast: Cast) -> Generator:
    if cast.generator is None:
        raise TagBoxError("this needs a generator; choose a preset or --steer that has one")
    return cast.generator


def _reconstruction(generator: Generator, mono: Tensor, level: int) -> Tensor:
    """What the generator's codes keep of `mono` (samples,)."""
    with torch.no_grad():
        _, latents = generator.quantise(encode_padded(generator, mono, level), level)
        return generator.decode(latents, level)[0, 0, : mono.shape[-1]]


def _at_least(audio: Tensor, samples: int) -> Tensor:
    """`audio` (..., samples) with silence after it, so that every STFT has a window to reflect."""
    return functional.pad(audio, (0, max(0, samples - audio.shape[-1])))


def _fit(audio: Tensor, samples: int) -> Tensor:
    """`audio` cut or filled with silence to exactly `samples`: resampling rounds lengths."""
    return functional.pad(audio, (0, max(0, samples - audio.shape[-1])))[..., :samples]


def _probabilities(taggers: Sequence[Tagger], track: Tensor, rate: int, padding: str) -> list[Tensor]:
    """Each tagger's probabilities (tags,) for `track` (channels, samples)."""
    device = next(taggers[0].network.parameters()).device
    with torch.no_grad():
        mono = resample(track.to(device).mean(dim=0, keepdim=True), rate, taggers[0].rate)
        return [torch.sigmoid(heard)[0].mean(dim=0).cpu() for heard in listen(taggers, mono, padding=padding)]


def _describe(
    cast: Cast,
    settings: Settings,
    preset: str,
    known: Mapping[str, Any],
    channels: Tensor,
    runs: Sequence[Run],
    heard: Mapping[str, Sequence[Tensor]],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    return manifest.describe(
        preset=preset,
        settings=settings,
        words=cast.words,
        wanted=cast.wanted,
        taggers=cast.taggers,
        generator=cast.generator,
        device=cast.device,
        source={**known, "samples_sha256": manifest.audio_hash(channels)},
        runs=runs,
        heard=heard,
        seconds=seconds,
    )
