"""Separate one segment: what happens to a signal, from its own sample rate to its own sample rate.

A short recording is one segment. `separate_segment` is the function to read first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tagbox.audio.downmix import downmix, with_channels
from tagbox.audio.high_band import restore_high_band
from tagbox.audio.resampling import resample
from tagbox.generators.base import Generator
from tagbox.methods.latents import encode_padded
from tagbox.methods.separators import Separator
from tagbox.methods.steering import Run
from tagbox.methods.task import Task


@dataclass(frozen=True, eq=False)
class SegmentEstimate:
    """A separated segment.

    Attributes:
        mixture: what was separated, (channels, samples) at `rate`.
        estimates: (sources, channels, samples) at `rate`.
        rate: Hz: the recording's own, unless a generator's reconstruction was separated.
        runs: of the loop.
    """

    mixture: Tensor
    estimates: Tensor
    rate: int
    runs: tuple[Run, ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A segment at the working rate.

    Attributes:
        mixture: what is separated, (channels, samples).
        initial_audio: what a generator's latents encode to begin with, (samples,), or (channels, samples)
            for a generator of several channels.
        scale: what both were divided by.
    """

    mixture: Tensor
    initial_audio: Tensor
    scale: Tensor


def separate_segment(
    segment: Tensor, rate: int, task: Task, separator: Separator, peak: float | None = None
) -> SegmentEstimate:
    """Separate `segment` (channels, samples) at `rate` Hz.

    Args:
        peak: of the whole recording, where the settings normalise; the segment's own unless given.
    """
    prepared = to_working_rate(segment, rate, task, peak)
    estimates, runs = separator.separate(prepared.mixture, prepared.initial_audio)
    return _to_original_rate(prepared, estimates, runs, segment, rate, task)


def separate_batch(
    segments: Sequence[Tensor], rate: int, task: Task, separator: Separator, peak: float | None = None
) -> list[SegmentEstimate]:
    """Separate segments of one length, each (channels, samples) at `rate` Hz, in one optimisation.

    The separator has to be batchable. The first estimate has the runs of all of them.
    """
    prepared = [to_working_rate(segment, rate, task, peak) for segment in segments]
    mixtures = torch.stack([each.mixture for each in prepared])
    estimates, runs = separator.separate(mixtures, torch.stack([each.initial_audio for each in prepared]))
    # (sources x batch, channels, samples), source by source.
    by_segment = estimates.reshape(-1, *mixtures.shape).unbind(dim=1)
    return [
        _to_original_rate(each, own, () if i else runs, segment, rate, task)
        for i, (each, own, segment) in enumerate(zip(prepared, by_segment, segments, strict=True))
    ]


def pad_to_window(audio: Tensor, samples: int) -> Tensor:
    """Append silence to `audio` (..., samples) up to `samples`: an STFT needs a window to reflect."""
    return functional.pad(audio, (0, max(0, samples - audio.shape[-1])))


def to_working_rate(segment: Tensor, rate: int, task: Task, peak: float | None) -> Prepared:
    """Bring `segment` (channels, samples) at `rate` Hz to the working rate, as the settings want it."""
    settings = task.settings
    mixture = pad_to_window(resample(segment.to(task.device), rate, task.rate), max(settings.fft))
    scale = torch.ones((), device=task.device)
    if settings.normalise:
        scale = mixture.abs().amax() if peak is None else torch.tensor(peak, device=task.device)
        mixture = mixture / scale
    channels = 1 if task.generator is None else task.generator.channels
    initial_audio = downmix(mixture) if channels == 1 else with_channels(mixture, channels)
    if settings.mixture == "reconstruction":
        mixture = _reconstruct(task.require_generator(), initial_audio, settings.level)[None]
    return Prepared(mixture, initial_audio, scale)


def _to_original_rate(
    prepared: Prepared,
    estimates: Tensor,
    runs: tuple[Run, ...],
    segment: Tensor,
    rate: int,
    task: Task,
) -> SegmentEstimate:
    settings, mixture = task.settings, prepared.mixture
    if settings.output == "residual":
        estimates = mixture - estimates
    if settings.mixture == "reconstruction":
        # As the published code: what is separated is not the recording, and it stays at the generator's rate.
        return SegmentEstimate(mixture.cpu(), estimates.cpu(), task.rate, runs)
    if settings.normalise:
        estimates, mixture = estimates * prepared.scale, mixture * prepared.scale
    estimates = restore_high_band(
        estimates, mixture, segment.to(task.device), task.rate, rate, max(settings.fft)
    )
    return SegmentEstimate(segment, estimates.cpu(), rate, runs)


def _reconstruct(generator: Generator, audio: Tensor, level: int) -> Tensor:
    """Decode what the generator's codes keep of `audio`, (samples,) or (channels, samples): (samples,)."""
    with torch.no_grad():
        _, latents = generator.quantise(encode_padded(generator, audio, level), level)
        return downmix(generator.decode(latents, level)[0, :, : audio.shape[-1]])
