"""Recordings longer than a segment: read, taken apart and handed on piece by piece, in bounded memory."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tagbox import abreast, audio, passages
from tagbox.bands import fit
from tagbox.cast import Cast
from tagbox.digest import Listener, choose, digest, stretch_seconds, survey
from tagbox.loop import OnStep
from tagbox.passages import GATES_RATE, Passage, Render, take_apart, take_apart_abreast, work_rate
from tagbox.presets import Settings
from tagbox.recordings import Recording, Spans
from tagbox.results import Run
from tagbox.segments import Segment, join, plan, scaled, spans
from tagbox.steerables import gates
from tagbox.steerables.beginnings import made_of, with_shares
from tagbox.tags.vocabularies import EXCLUSIVE
from tagbox.tracks import Tracks

OnSegment = Callable[[int, int], None]
"""Told how many segments are done, of how many."""

FILTER = 128
"""Samples of the lower of two rates that resampling there and back reaches, with room to spare."""


@dataclass(frozen=True, eq=False)
class Streamed:
    """What there is to say of a recording that went by.

    Attributes:
        rate: of what was written, Hz.
        runs: the loop's histories, in the order of the segments.
        heard: by "mixture", source and "residual", for each tagger its probabilities (tags,).
        seconds: by what they were spent on.
        about: for the manifest: segments, what was listened to.
    """

    rate: int
    runs: tuple[Run, ...]
    heard: dict[str, list[Tensor]]
    seconds: dict[str, float]
    about: dict[str, Any]


def is_long(settings: Settings, samples: int, rate: int) -> bool:
    """Whether a recording is cut into segments."""
    return settings.segment > 0 and samples > settings.segment * rate


def out_grid(cast: Cast, settings: Settings, rate: int, samples: int) -> tuple[int, int]:
    """Rate in Hz and length in samples of what comes out."""
    if settings.mixture != "reconstruction":
        return rate, samples
    own = work_rate(cast)
    return own, -(-samples * own // rate)


def segments_of(cast: Cast, settings: Settings, rate: int, samples: int) -> list[Segment]:
    """The segments of a recording.

    Places are multiples of the resampler's period, and for gates, where frames have to fall on the same
    samples in every segment, hops are multiples of the STFT's as well.
    """
    if not is_long(settings, samples, rate):
        return [Segment(0, samples, 0, samples, 0, 0)]
    own = work_rate(cast)
    ratio = audio.ratio(rate, own)
    hop = max(settings.fft) // 2
    align = ratio.numerator * (hop // math.gcd(hop, ratio.denominator)) if settings.steer == "gates" else 1
    context = max(settings.fft) / own + FILTER / min(rate, own)
    return plan(
        samples,
        round(settings.segment * rate),
        round(settings.overlap * rate),
        math.ceil(context * rate),
        ratio.numerator,
        align,
    )


def stream(
    recording: Recording,
    cast: Cast,
    settings: Settings,
    tracks: Tracks,
    on_step: OnStep | None = None,
    on_segment: OnSegment | None = None,
) -> Streamed:
    """Take a long recording apart into `tracks`: the sources in the order of the words, then the residual.

    Raises:
        TagBoxError: the recording is silent or damaged, or a segment has no room for what it needs.
    """
    begin = time.monotonic()
    rate = recording.rate
    segments = segments_of(cast, settings, rate, recording.samples)
    stretch = stretch_seconds(cast.taggers, settings.segment)
    known = survey(recording, cast, stretch, settings.padding)
    if known.samples != recording.samples:
        segments = segments_of(cast, settings, rate, known.samples)
    surveyed = time.monotonic()

    runs: list[Run] = []
    about: dict[str, Any] = {
        "segments": len(segments),
        "longest_segment": round(max(segment.last - segment.first for segment in segments) / rate, 3),
        "heard_stretches": len(known.spans),
        "stretch": round(stretch, 3),
    }
    if learns_once(settings):
        chosen = [known.spans[i] for i in choose(known.scores, int(settings.segment / stretch))]
        render, run = _learn(recording, chosen, cast, settings, on_step)
        runs.append(run)
        about["digest"] = _seconds(chosen, rate)
    elif settings.steer == "gates":
        piece = [made_of(known.heard[i], known.energies, cast.taggers[i]) for i in with_shares(cast.taggers)]
        render = _never_half(passages.steering(cast, settings, on_step, piece))
        about["made_of"] = _named(piece, cast)
    else:
        render = passages.steering(cast, settings, on_step)
    learnt = time.monotonic()

    out_rate, out_samples = out_grid(cast, settings, rate, known.samples)
    ratio = audio.ratio(rate, out_rate)
    there = [
        (first * ratio.denominator // ratio.numerator, last * ratio.denominator // ratio.numerator)
        for first, last in known.spans
    ]
    listeners = [Listener(there, out_rate, cast.taggers, settings.padding) for _ in [*cast.words, "residual"]]
    tail: Tensor | None = None
    stopped, done, widest = False, 0, 1
    read = zip(segments, recording.stretches(spans(segments)), strict=True)
    for several in abreast.batches(read, partial(_room, cast, settings, rate, known.peak)):
        pieces = [channels for _, channels in several]
        how = render if bool(pieces[0].any()) and not stopped else passages.silent(cast)
        if len(pieces) > 1 and not stopped:
            made = _side_by_side(cast, settings, pieces, rate, on_step, known.peak)
        else:
            made = [take_apart(cast, settings, channels, rate, how, known.peak) for channels in pieces]
        widest = max(widest, len(pieces))
        for (segment, _), passage in zip(several, made, strict=True):
            runs += [replace(run, at=segment.first / rate) for run in passage.runs]
            stopped = stopped or any(run.history.stopped == "interrupted" for run in passage.runs)
            everything = torch.cat([passage.mixture[None], passage.estimates])
            finished, tail = join(tail, *_own_part(everything, segment, ratio, out_samples))
            result = torch.cat([finished[1:], finished[:1] - finished[1:].sum(dim=0, keepdim=True)])
            tracks.add(result)
            for listener, track in zip(listeners, result, strict=True):
                listener.pass_by(track)
            done += 1
            if on_segment is not None:
                on_segment(done, len(segments))
    about["side_by_side"] = widest
    heard = {"mixture": [answer.mean(dim=0) for answer in known.heard]}
    for name, listener in zip([*cast.words, "residual"], listeners, strict=True):
        heard[name] = [answer.mean(dim=0) for answer in listener.probabilities()]
    seconds = {
        "survey": surveyed - begin,
        "digest": learnt - surveyed,
        "streaming": time.monotonic() - learnt,
    }
    return Streamed(out_rate, tuple(runs), heard, seconds, about)


def _room(cast: Cast, settings: Settings, rate: int, peak: float, channels: Tensor) -> int:
    """How many segments as long as `channels` can be steered side by side."""
    fits = abreast.FITS.get(cast.device.type)
    if fits is None or abreast.alone(settings) is not None:
        return 1
    once = replace(settings, steps=1)
    return fits(cast.device, lambda: take_apart_abreast(cast, once, [channels], rate, None, peak))


def _side_by_side(
    cast: Cast,
    settings: Settings,
    pieces: Sequence[Tensor],
    rate: int,
    on_step: OnStep | None,
    peak: float,
) -> list[Passage]:
    """All `pieces` at once; by halves where the device has less room than one step of one let expect."""
    try:
        return take_apart_abreast(cast, settings, pieces, rate, on_step, peak)
    except torch.OutOfMemoryError:
        if len(pieces) == 1:
            raise
    half = len(pieces) // 2
    return [
        passage
        for some in (pieces[:half], pieces[half:])
        for passage in _side_by_side(cast, settings, some, rate, on_step, peak)
    ]


def learns_once(settings: Settings) -> bool:
    """Whether gates are steered, and so learnt once for the whole recording, from a digest.

    Gates that stay where they were heard are found in each segment for itself: whoever hears them is frozen,
    and hears the same in minute one and in minute three.
    """
    return settings.steer == "gates" and (settings.begin != "heard" or settings.steps > 1)


def _never_half(render: Render) -> Render:
    """`render`, which Ctrl-C ends with nothing done: gates that are not steered have no best so far."""

    def whole(working: Tensor, beginning: Tensor) -> tuple[tuple[Run, ...], Tensor]:
        runs, rendered = render(working, beginning)
        if any(run.history.stopped == "interrupted" for run in runs):
            raise KeyboardInterrupt
        return runs, rendered

    return whole


def _learn(
    recording: Recording,
    chosen: list[tuple[int, int]],
    cast: Cast,
    settings: Settings,
    on_step: OnStep | None,
) -> tuple[Render, Run]:
    """Shapes and gates of the whole recording, as a way to render any passage of it."""
    mono = digest(recording, chosen, GATES_RATE).to(cast.device)
    material = passages.material(cast, settings, mono, mono)
    learnt = gates.make(material)
    memo, history = passages.loop(learnt, material.taggers, cast.targets, settings, on_step)
    # Only these two stay: the components' audio goes before the first segment comes.
    shapes, n_fft = learnt.shapes, max(settings.fft)
    del learnt
    times = settings.factorisations
    return partial(_share_out, shapes, memo, n_fft, times), Run(cast.words, history)


def _share_out(
    shapes: Tensor, shares: Tensor, n_fft: int, factorisations: int, working: Tensor, beginning: Tensor
) -> tuple[tuple[Run, ...], Tensor]:
    return (), gates.share_out(working, shapes, shares, n_fft, factorisations)


def _own_part(passage: Tensor, segment: Segment, ratio: Fraction, samples: int) -> tuple[Tensor, Segment]:
    """The segment's own part of what was made of all that it read, and where that lies at the rate there."""
    there = segment
    if ratio != 1:
        there = scaled(segment, ratio.denominator, ratio.numerator, samples)
    # Rates that `audio.ratio` rounds may be a sample short at the end.
    everything = fit(passage, there.last - there.first)
    return everything[..., there.start - there.first : there.stop - there.first], there


def _named(piece: Sequence[Tensor], cast: Cast) -> dict[str, dict[str, float]]:
    """For each tagger, each class's part of the energy."""
    able = [cast.taggers[i] for i in with_shares(cast.taggers)]
    return {
        f"{tagger.data}/{tagger.name}": {
            tag: round(part, 4) for tag, part in zip(EXCLUSIVE[tagger.data], own.tolist(), strict=True)
        }
        for tagger, own in zip(able, piece, strict=True)
    }


def _seconds(places: Spans, rate: int) -> list[list[float]]:
    return [[round(first / rate, 3), round(last / rate, 3)] for first, last in places]
