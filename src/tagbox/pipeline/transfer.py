"""Style transfer: re-synthesise a recording with the generator, steered towards tags, without a mask."""

from dataclasses import replace

import torch
from torch import Tensor

from tagbox.audio.downmix import downmix, with_channels
from tagbox.audio.resampling import pad_or_trim, resample
from tagbox.audio.segments import crossfade
from tagbox.generators.quantisers import make_quantiser
from tagbox.methods.latents import LatentSynthesis
from tagbox.methods.steering import OnStep, Run, steer
from tagbox.methods.task import Task
from tagbox.pipeline.segment import pad_to_window
from tagbox.pipeline.streaming import segments_of


def resynthesise_recording(
    channels: Tensor, rate: int, task: Task, on_step: OnStep | None = None
) -> tuple[Tensor, tuple[Run, ...]]:
    """Re-synthesise `channels` (channels, samples) at `rate` Hz, segment by segment.

    Ctrl-C ends it after the present segment; the rest is silent.

    Returns:
        audio (generated channels, samples) at `rate`, and a run for each segment.
    """
    parts: list[Tensor] = []
    runs: list[Run] = []
    tail: Tensor | None = None
    for segment in segments_of(task, rate, channels.shape[-1]):
        read = channels[:, segment.read_start : segment.read_stop]
        audio, run = resynthesise_segment(read, rate, task, on_step)
        runs.append(replace(run, at=segment.read_start / rate))
        own = audio[:, segment.start - segment.read_start : segment.stop - segment.read_start]
        finished, tail = crossfade(tail, own, segment)
        parts.append(finished)
        if run.history.stopped == "interrupted":
            break
    if tail is not None:
        parts.append(tail)
    return pad_or_trim(torch.cat(parts, dim=-1), channels.shape[-1]), tuple(runs)


def resynthesise_segment(
    segment: Tensor, rate: int, task: Task, on_step: OnStep | None = None
) -> tuple[Tensor, Run]:
    """Re-synthesise `segment` (channels, samples) at `rate` Hz: (generated channels, samples) at `rate`."""
    settings, generator = task.settings, task.require_generator()
    heard = segment.to(task.device)
    heard = downmix(heard) if generator.channels == 1 else with_channels(heard, generator.channels)
    heard = pad_to_window(resample(heard, rate, generator.rate), max(settings.fft))
    quantiser = make_quantiser(settings.quantiser, generator, settings.level, settings.seed)
    latents = LatentSynthesis(generator, heard, settings.level, quantiser)
    snapshot, history = steer(latents, task.steering_taggers, task.targets, settings, on_step)
    audio = pad_or_trim(resample(snapshot, generator.rate, rate), segment.shape[-1])
    return audio.reshape(generator.channels, -1).cpu(), Run(task.queries, history)
