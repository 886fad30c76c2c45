"""Batch several segments through one optimisation, as many as fit into a GPU's memory.

How many fit is measured: the memory that one step of one segment takes, against what the GPU has free.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from tagbox.audio.segments import Segment
from tagbox.methods.objectives import find_objective
from tagbox.methods.separators import Separator
from tagbox.methods.task import Task
from tagbox.pipeline.segment import SegmentEstimate, separate_batch
from tagbox.settings import Settings

USABLE_MEMORY = 0.8
"""Of the free memory: libraries want some for themselves, and memory is never without holes."""

ReadSegment = tuple[Segment, Tensor]
"""A segment and its audio, (channels, samples)."""

Trial = Callable[[], object]
Capacity = Callable[[torch.device, Trial], int]
"""A device and one step of one segment to how many segments fit."""


def why_not_batchable(settings: Settings) -> str | None:
    """Say why latents cannot be steered in batches, or None where they can.

    Otherwise what is kept, and when the loop stops, would be another step for each segment; and each loss and
    each codebook has to be as if the other segments were not there.
    """
    if settings.keep != "last" or settings.patience:
        return "each segment would end at another step"
    if settings.quantiser == "published":
        return "the published quantiser's codebook moves with what it quantises"
    if not find_objective(settings.objective).separable:
        return "the objective weighs sources against each other"
    return None


def cuda_capacity(device: torch.device, trial: Trial) -> int:
    """Measure how many segments fit into the GPU's free memory, at least one."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    trial()
    taken = torch.cuda.max_memory_allocated(device) - before
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return capacity(free, taken)


def capacity(free: int, taken: int) -> int:
    """Compute how often `taken` bytes fit into `free` ones, with some to spare; at least once."""
    return max(1, int(USABLE_MEMORY * free) // max(1, taken))


CAPACITY_BY_DEVICE: dict[str, Capacity] = {"cuda": cuda_capacity}
"""By the type of device; others take one segment after the other, which is no slower there."""


def batches(
    segments: Iterable[ReadSegment], batch_size: Callable[[Tensor], int]
) -> Iterator[list[ReadSegment]]:
    """Group segments in their order into batches of one length; silent segments come by themselves.

    Args:
        batch_size: asked once, with the first audio that is not silent.
    """
    batch: list[ReadSegment] = []
    size = 0
    for segment, channels in segments:
        sounds = bool(channels.any())
        if batch and not (sounds and channels.shape == batch[0][1].shape):
            yield batch
            batch = []
        size = size or (batch_size(channels) if sounds else 0)
        batch.append((segment, channels))
        if len(batch) == size or not sounds:
            yield batch
            batch = []
    if batch:
        yield batch


def separate_halving(
    segments: Sequence[Tensor], rate: int, task: Task, separator: Separator, peak: float | None
) -> list[SegmentEstimate]:
    """Separate a batch, and by halves where the device has less memory than the trial step predicted."""
    try:
        return separate_batch(segments, rate, task, separator, peak)
    except torch.OutOfMemoryError:
        if len(segments) == 1:
            raise
    half = len(segments) // 2
    return [
        estimate
        for part in (segments[:half], segments[half:])
        for estimate in separate_halving(part, rate, task, separator, peak)
    ]
