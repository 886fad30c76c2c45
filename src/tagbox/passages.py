"""One passage of a recording, taken apart in one piece: a short recording, or a segment of a long one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from tagbox import bands, devices, objectives
from tagbox.audio import resample
from tagbox.cast import Cast
from tagbox.errors import TagBoxError
from tagbox.generator.generator import Generator
from tagbox.generator.quantisers import quantiser
from tagbox.loop import History, LoopSettings, OnStep, steer
from tagbox.presets import Settings
from tagbox.results import Run
from tagbox.steerables import registry
from tagbox.steerables.latents import Latents, encode_padded
from tagbox.steerables.material import Material
from tagbox.steerables.steerable import Steerable
from tagbox.taggers.tagger import Tagger, listen

GATES_RATE = 44_100
"""At which components are made, Hz."""

Render = Callable[[Tensor, Tensor], tuple[tuple[Run, ...], Tensor]]
"""What is taken apart (channels, samples) and what latents begin as (samples,), both at the working rate, to
the passages through the loop that it took and the sources (sources, channels, samples)."""


@dataclass(frozen=True, eq=False)
class Passage:
    """What became of a passage.

    Attributes:
        mixture: what was taken apart, (channels, samples) at `rate`.
        estimates: (sources, channels, samples) at `rate`.
        rate: Hz, the recording's own unless a reconstruction was taken apart.
        runs: the loop's histories.
    """

    mixture: Tensor
    estimates: Tensor
    rate: int
    runs: tuple[Run, ...]


def work_rate(cast: Cast) -> int:
    """At which sources are found, Hz."""
    return cast.generator.rate if cast.generator is not None else GATES_RATE


def take_apart(
    cast: Cast, settings: Settings, channels: Tensor, rate: int, render: Render, peak: float | None = None
) -> Passage:
    """Take `channels` (channels, samples) at `rate` Hz apart by `render`.

    Args:
        peak: what normalisation brings to 1; the passage's own peak unless given.
    """
    begun = _begin(cast, settings, channels, rate, peak)
    runs, rendered = render(begun.working, begun.beginning)
    return _finish(cast, settings, begun, rate, runs, rendered)


def take_apart_abreast(
    cast: Cast,
    settings: Settings,
    several: Sequence[Tensor],
    rate: int,
    on_step: OnStep | None = None,
    peak: float | None = None,
) -> list[Passage]:
    """Take passages of one length apart, each (channels, samples) at `rate` Hz, steered side by side.

    The first of them has all that there is to say of the loop. The kind of thing that is steered has to be
    one that knows of passages: see `tagbox.abreast`.
    """
    begun = [_begin(cast, settings, channels, rate, peak) for channels in several]
    working = torch.stack([each.working for each in begun])
    runs, rendered = steer_all(
        cast, settings, working, torch.stack([each.beginning for each in begun]), on_step
    )
    # (words x passages, channels, samples), word by word.
    apart = rendered.reshape(-1, *working.shape).unbind(dim=1)
    return [
        _finish(cast, settings, each, rate, () if i else runs, own)
        for i, (each, own) in enumerate(zip(begun, apart, strict=True))
    ]


@dataclass(frozen=True, eq=False)
class _Begun:
    """A passage as the loop takes it.

    Attributes:
        channels: as it was read, (channels, samples).
        working: what is taken apart, (channels, samples) at the working rate.
        beginning: what latents begin as, (samples,).
        scale: what both were divided by.
    """

    channels: Tensor
    working: Tensor
    beginning: Tensor
    scale: Tensor


def _begin(cast: Cast, settings: Settings, channels: Tensor, rate: int, peak: float | None) -> _Begun:
    working = at_least(resample(channels.to(cast.device), rate, work_rate(cast)), max(settings.fft))
    scale = torch.ones((), device=cast.device)
    if settings.normalise:
        scale = working.abs().amax() if peak is None else torch.tensor(peak, device=cast.device)
        working = working / scale
    beginning = working.mean(dim=0)
    if settings.mixture == "reconstruction":
        working = _reconstruction(needed(cast), beginning, settings.level)[None]
    return _Begun(channels, working, beginning, scale)


def _finish(
    cast: Cast, settings: Settings, begun: _Begun, rate: int, runs: tuple[Run, ...], rendered: Tensor
) -> Passage:
    own, working, channels = work_rate(cast), begun.working, begun.channels
    if settings.output == "residual":
        rendered = working - rendered
    if settings.mixture == "reconstruction":
        # Faithful to the published code: what is taken apart is not the recording, and it stays at its rate.
        return Passage(working.cpu(), rendered.cpu(), own, runs)
    if settings.normalise:
        rendered, working = rendered * begun.scale, working * begun.scale
    estimates = bands.back(rendered, working, channels.to(cast.device), own, rate, max(settings.fft))
    return Passage(channels, estimates.cpu(), rate, runs)


def resynthesise(
    cast: Cast, settings: Settings, channels: Tensor, rate: int, on_step: OnStep | None
) -> tuple[Tensor, History]:
    """What the generator plays, steered, for `channels` (channels, samples): (samples,) at the same rate."""
    generator = needed(cast)
    mono = at_least(resample(channels.to(cast.device).mean(dim=0), rate, generator.rate), max(settings.fft))
    quantise = quantiser(settings.quantiser, generator, settings.level, settings.seed)
    latents = Latents(generator, mono, settings.level, quantise)
    memo, history = loop(latents, listeners(cast, settings), cast.targets, settings, on_step)
    return bands.fit(resample(memo, generator.rate, rate), channels.shape[-1]).cpu(), history


def steering(
    cast: Cast, settings: Settings, on_step: OnStep | None = None, piece: Sequence[Tensor] | None = None
) -> Render:
    """Render by running the loop, once for all sources or once for each.

    `piece` is what a longer piece is made of whose segment is rendered (see `beginnings.heard_alone`).
    """
    return lambda working, beginning: steer_all(cast, settings, working, beginning, on_step, piece)


def silent(cast: Cast) -> Render:
    """Render nothing: all of it is left to the residual."""
    return lambda working, beginning: ((), working.new_zeros(len(cast.words), *working.shape))


def steer_all(
    cast: Cast,
    settings: Settings,
    working: Tensor,
    beginning: Tensor,
    on_step: OnStep | None,
    piece: Sequence[Tensor] | None = None,
) -> tuple[tuple[Run, ...], Tensor]:
    """Run the loop, once for all sources or once for each, and render: (sources, channels, samples).

    `working` (channels, samples) is what is taken apart, and `beginning` (samples,) what latents begin as.
    Of passages side by side, (passages, channels, samples) and (passages, samples), each word's come one
    after the other: (words x passages, channels, samples).
    """
    mono = working.mean(dim=-2)
    kind = registry.find(settings.steer)
    groups = [range(len(cast.words))] if kind.shared else [range(i, i + 1) for i in range(len(cast.words))]
    everything = material(cast, settings, mono, beginning, piece)
    several = math.prod(working.shape[:-2])
    runs, rendered = [], []
    for group in groups:
        own = slice(group.start, group.stop)
        steerable = kind.make(replace(everything, wanted=everything.wanted[own]))
        targets = [target[own].repeat_interleave(several, dim=0) for target in cast.targets]
        memo, history = loop(steerable, everything.taggers, targets, settings, on_step, several)
        runs.append(Run(tuple(cast.words[i] for i in group), history))
        rendered.append(steerable.render(memo, working))
        if history.stopped == "interrupted":
            # Whoever pressed Ctrl-C does not want to wait for the sources that have not begun.
            left = (len(cast.words) - group.stop) * several
            rendered.append(working.new_zeros(left, *working.shape[-2:]))
            break
    return tuple(runs), torch.cat(rendered)


def material(
    cast: Cast,
    settings: Settings,
    mono: Tensor,
    beginning: Tensor,
    piece: Sequence[Tensor] | None = None,
) -> Material:
    """What something to steer for all sources is made of."""
    wanted = [cast.wanted[word] for word in cast.words]
    heard_by = listeners(cast, settings)
    return Material(mono, work_rate(cast), beginning, wanted, heard_by, cast.generator, settings, piece)


def loop(
    steerable: Steerable,
    taggers: Sequence[Tagger],
    targets: Sequence[Tensor],
    settings: Settings,
    on_step: OnStep | None,
    several: int = 1,
) -> tuple[Tensor, History]:
    """Steer as `settings` say; `several` passages side by side."""
    how = LoopSettings(
        settings.steps, settings.lr, settings.patience, settings.padding, settings.keep, several
    )
    objective = objectives.find(settings.objective)
    return steer(steerable, taggers, targets, objective, how, on_step)


def listeners(cast: Cast, settings: Settings) -> list[Tagger]:
    """The taggers, computing in the numbers that `settings` say."""
    dtype = devices.precision(settings.precision, cast.device)
    return [tagger.lowered(dtype) for tagger in cast.taggers]


def needed(cast: Cast) -> Generator:
    """The generator, where there has to be one."""
    if cast.generator is None:
        raise TagBoxError("this needs a generator; choose a preset or --steer that has one")
    return cast.generator


def at_least(audio: Tensor, samples: int) -> Tensor:
    """`audio` (..., samples) with silence after it, so that every STFT has a window to reflect."""
    return functional.pad(audio, (0, max(0, samples - audio.shape[-1])))


def probabilities(taggers: Sequence[Tagger], track: Tensor, rate: int, padding: str) -> list[Tensor]:
    """Each tagger's probabilities (tags,) for `track` (channels, samples)."""
    device = next(taggers[0].network.parameters()).device
    with torch.no_grad():
        mono = resample(track.to(device).mean(dim=0, keepdim=True), rate, taggers[0].rate)
        return [torch.sigmoid(heard)[0].mean(dim=0).cpu() for heard in listen(taggers, mono, padding=padding)]


def _reconstruction(generator: Generator, mono: Tensor, level: int) -> Tensor:
    """What the generator's codes keep of `mono` (samples,)."""
    with torch.no_grad():
        _, latents = generator.quantise(encode_padded(generator, mono, level), level)
        return generator.decode(latents, level)[0, 0, : mono.shape[-1]]
