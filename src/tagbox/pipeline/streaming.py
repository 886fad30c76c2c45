"""Separate a recording of any length, segment by segment, in bounded memory.

A reader gives the mixture, `tagbox.pipeline.segment` separates each segment, neighbours are crossfaded, and a
writer takes the estimates and the residual. A short recording is a stream of one segment.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tagbox.audio import resampling
from tagbox.audio.arrays import level_note
from tagbox.audio.readers import Reader
from tagbox.audio.resampling import pad_or_trim
from tagbox.audio.segments import Segment, crossfade, plan_segments, rescale, segment_spans
from tagbox.audio.writers import Writer
from tagbox.methods.registry import make_separator
from tagbox.methods.separators import Preparation, Separator, SilentSources
from tagbox.methods.steering import OnStep, Run
from tagbox.methods.task import Task
from tagbox.pipeline.batching import (
    CAPACITY_BY_DEVICE,
    batches,
    separate_halving,
    why_not_batchable,
)
from tagbox.pipeline.presence import PresenceMeter
from tagbox.pipeline.segment import SegmentEstimate, separate_segment
from tagbox.pipeline.survey import ExcerptTagger, Survey, excerpt_seconds, survey_recording
from tagbox.settings import Settings

OnSegment = Callable[[int, int], None]
"""Told how many segments are done, of how many."""

FILTER_SAMPLES = 128
"""Reach of the resampler's filters to the working rate and back, samples of the lower rate, with a margin."""


@dataclass(frozen=True)
class OutputFormat:
    """Sample rate in Hz, channels, length in samples and speakers of what is written."""

    rate: int
    channels: int
    samples: int
    mask: int | None = None


@dataclass(frozen=True, eq=False)
class StreamReport:
    """What there is to say of a separated recording.

    Attributes:
        runs: of the loop, in the order of the segments.
        probabilities: by "mixture", source and "residual", for each tagger (tags,).
        seconds: by what they were spent on.
        notes: for run.json where the recording is longer than a segment: segments, excerpts.
        level_note: what is to be said of the recording's level, if anything.
        presence: for run.json: each source's part of the energy over time (see `PresenceMeter.describe`).
    """

    runs: tuple[Run, ...]
    probabilities: dict[str, list[Tensor]]
    seconds: dict[str, float]
    notes: dict[str, Any] | None
    level_note: str | None
    presence: dict[str, Any]


def is_long(settings: Settings, samples: int, rate: int) -> bool:
    """Return whether a recording is cut into segments."""
    return settings.segment > 0 and samples > settings.segment * rate


def output_format(task: Task, reader: Reader) -> OutputFormat:
    """Return the format of the estimates: the recording's own, unless a reconstruction is separated."""
    if task.settings.mixture != "reconstruction":
        return OutputFormat(reader.rate, reader.channels, reader.samples, reader.mask)
    return OutputFormat(task.rate, 1, -(-reader.samples * task.rate // reader.rate))


def segments_of(task: Task, rate: int, samples: int) -> list[Segment]:
    """Plan the segments of a recording of `samples` samples at `rate` Hz.

    Positions are multiples of the resampler's period, and for components, where frames have to fall on the
    same samples in every segment, multiples of the STFT's hop length as well.
    """
    settings = task.settings
    if not is_long(settings, samples, rate):
        return [Segment(0, samples, 0, samples, 0, 0)]
    ratio = resampling.ratio(rate, task.rate)
    hop_length = max(settings.fft) // 2
    align = 1
    if task.generator is None:
        align = ratio.numerator * (hop_length // math.gcd(hop_length, ratio.denominator))
    context = max(settings.fft) / task.rate + FILTER_SAMPLES / min(rate, task.rate)
    return plan_segments(
        samples,
        round(settings.segment * rate),
        round(settings.overlap * rate),
        math.ceil(context * rate),
        ratio.numerator,
        align,
    )


@dataclass(frozen=True, eq=False)
class Plan:
    """What is settled before the first segment of a recording is separated.

    Attributes:
        segments: to be separated, in their order.
        samples: of the recording.
        survey: of a recording longer than a segment.
        preparation: the separator that was prepared by it.
        seconds: by what they were spent on.
    """

    segments: tuple[Segment, ...]
    samples: int
    survey: Survey | None
    preparation: Preparation
    seconds: Mapping[str, float]


ChooseSeparator = Callable[[Separator, Segment], Separator]
"""The separator that was prepared, and a segment, to the separator of this segment."""


def plan_stream(reader: Reader, task: Task, on_step: OnStep | None = None) -> Plan:
    """Plan the segments of a recording, survey it where there are several, and prepare the separator.

    Raises:
        TagBoxError: the recording is damaged, or a segment has no room for what it needs.
    """
    begin = time.monotonic()
    segments = segments_of(task, reader.rate, reader.samples)
    survey = survey_recording(reader, task) if len(segments) > 1 else None
    samples = reader.samples if survey is None else survey.samples
    if samples != reader.samples:
        # The header promised more than there is.
        segments = segments_of(task, reader.rate, samples)
    surveyed = time.monotonic()
    separator = make_separator(task, on_step)
    is_surveyed = survey is not None and survey.peak > 0
    preparation = separator.prepare(survey) if survey is not None and is_surveyed else Preparation(separator)
    seconds = {"survey": surveyed - begin, "digest": time.monotonic() - surveyed}
    return Plan(tuple(segments), samples, survey, preparation, seconds)


def separate_stream(
    reader: Reader,
    task: Task,
    writer: Writer,
    on_step: OnStep | None = None,
    on_segment: OnSegment | None = None,
    plan: Plan | None = None,
    choose: ChooseSeparator | None = None,
    predicts: bool = True,
) -> StreamReport:
    """Separate a recording into `writer`: the sources in the order of the queries, then the residual.

    Args:
        reader: of the recording.
        task: the sources, settings and models.
        writer: of the results.
        on_step: called after every step of the steering loop.
        on_segment: told how many segments are done, of how many.
        plan: by `plan_stream`; of some segments only, where no more are wanted.
        choose: for each segment that is not silent, the separator to use in the place of the prepared one.
        predicts: whether taggers are asked about the results.

    Raises:
        TagBoxError: the recording is damaged, or a segment has no room for what it needs.
    """
    rate = reader.rate
    plan = plan or plan_stream(reader, task, on_step)
    segments, samples, survey, preparation = plan.segments, plan.samples, plan.survey, plan.preparation
    prepared = time.monotonic()

    out = output_format(task, reader)
    out_samples = samples if out.rate == rate else -(-samples * out.rate // rate)
    ratio = resampling.ratio(rate, out.rate)
    taggers = _excerpt_taggers(task, survey, ratio, out.rate, out_samples) if predicts else {}
    meter = PresenceMeter(task.sources + 1, out.rate, out_samples)
    peak = None if survey is None else survey.peak
    runs = list(preparation.runs)
    tail: Tensor | None = None
    stopped, done, largest_batch, loudest = False, 0, 1, 0.0
    read = zip(segments, reader.read_spans(segment_spans(segments)), strict=True)
    for batch in batches(read, partial(_batch_size, task, preparation.separator, rate, peak)):
        separator = preparation.separator
        if choose is not None:
            separator = choose(separator, batch[0][0])
        estimates = _separate_batch([audio for _, audio in batch], rate, task, separator, peak, stopped)
        largest_batch = max(largest_batch, len(batch))
        for (segment, _), estimate in zip(batch, estimates, strict=True):
            runs += [replace(run, at=segment.read_start / rate) for run in estimate.runs]
            stopped = stopped or any(run.history.stopped == "interrupted" for run in estimate.runs)
            loudest = max(loudest, float(estimate.mixture.abs().max()))
            mixture_and_estimates = torch.cat([estimate.mixture[None], estimate.estimates])
            own, place = _without_context(mixture_and_estimates, segment, ratio, out_samples)
            finished, tail = crossfade(tail, own, place)
            mixture, sources = finished[:1], finished[1:]
            tracks = torch.cat([sources, mixture - sources.sum(dim=0, keepdim=True)])
            writer.add(tracks)
            meter.add(tracks)
            for tagger, track in zip(taggers.values(), [*tracks, mixture[0]], strict=False):
                tagger.push(track)
            done += 1
            if on_segment is not None and len(segments) > 1:
                on_segment(done, len(segments))
    probabilities = {
        name: [each.mean(dim=0) for each in tagger.probabilities()] for name, tagger in taggers.items()
    }
    if survey is not None:
        probabilities["mixture"] = [each.mean(dim=0) for each in survey.predictions]
    names = [name for name in ("mixture", *task.queries, "residual") if name in probabilities]
    notes = None
    seconds = {"steering": time.monotonic() - prepared}
    if survey is not None:
        notes = {
            **_segment_notes(segments, survey, rate, task),
            **preparation.notes,
            "side_by_side": largest_batch,
        }
        seconds = {**plan.seconds, "streaming": time.monotonic() - prepared}
    by_name = {name: probabilities[name] for name in names}
    presence = meter.describe([*task.queries, "residual"])
    return StreamReport(tuple(runs), by_name, seconds, notes, level_note(loudest), presence)


def _separate_batch(
    segments: list[Tensor],
    rate: int,
    task: Task,
    separator: Separator,
    peak: float | None,
    stopped: bool,
) -> list[SegmentEstimate]:
    """Separate what was read together; silence, and what comes after Ctrl-C, is left to the residual."""
    if stopped or not bool(segments[0].any()):
        silent = SilentSources(task.sources)
        return [separate_segment(segment, rate, task, silent, peak) for segment in segments]
    if len(segments) > 1:
        return separate_halving(segments, rate, task, separator, peak)
    return [separate_segment(segments[0], rate, task, separator, peak)]


def _batch_size(task: Task, separator: Separator, rate: int, peak: float | None, segment: Tensor) -> int:
    """Measure how many segments as long as `segment` can be separated in one batch."""
    measure = CAPACITY_BY_DEVICE.get(task.device.type)
    if measure is None or not separator.batchable or why_not_batchable(task.settings) is not None:
        return 1
    one_step = replace(task, settings=replace(task.settings, steps=1))
    trial_separator = make_separator(one_step)
    return measure(task.device, partial(separate_segment, segment, rate, one_step, trial_separator, peak))


def _excerpt_taggers(
    task: Task, survey: Survey | None, ratio: Fraction, rate: int, samples: int
) -> dict[str, ExcerptTagger]:
    """Make what predicts the tags of each result, at the excerpts of the survey or in the whole recording.

    The mixture comes last, and only where no survey has predicted its tags already.
    """
    names = [*task.queries, "residual"]
    if survey is None:
        names.append("mixture")
        spans = [(0, samples)]
    else:
        up, down = ratio.denominator, ratio.numerator
        spans = [(first * up // down, last * up // down) for first, last in survey.spans]
    return {name: ExcerptTagger(spans, rate, task.taggers, task.settings.padding) for name in names}


def _without_context(
    audio: Tensor, segment: Segment, ratio: Fraction, samples: int
) -> tuple[Tensor, Segment]:
    """Cut a segment's own part out of all that it read; return it and the segment at the output's rate."""
    scaled = segment
    if ratio != 1:
        scaled = rescale(segment, ratio.denominator, ratio.numerator, samples)
    # Rates that `resampling.ratio` rounds may be a sample short at the end.
    whole = pad_or_trim(audio, scaled.read_stop - scaled.read_start)
    return whole[..., scaled.start - scaled.read_start : scaled.stop - scaled.read_start], scaled


def _segment_notes(segments: Sequence[Segment], survey: Survey, rate: int, task: Task) -> dict[str, Any]:
    longest = max(segment.read_stop - segment.read_start for segment in segments)
    return {
        "segments": len(segments),
        "longest_segment": round(longest / rate, 3),
        "heard_stretches": len(survey.spans),
        "stretch": round(excerpt_seconds(task.taggers, task.settings.segment), 3),
    }
