"""Passages of a recording steered side by side: a GPU that has room for several takes them all at once.

How many there is room for is measured: what one step of one passage takes, against what the GPU has left.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor

from tagbox import objectives
from tagbox.presets import Settings
from tagbox.segments import Segment

PART = 0.8
"""Of the room that is left: libraries want some for themselves, and memory is never without holes."""

Read = tuple[Segment, Tensor]
"""A segment and its audio, (channels, samples)."""

Step = Callable[[], object]
Fit = Callable[[torch.device, Step], int]
"""A device and one step of one passage to how many passages fit."""


def alone(settings: Settings) -> str | None:
    """Why passages cannot be steered side by side, or None where they can.

    What is kept, and when the loop stops, would have to be another step for each of them otherwise; and each
    has to be judged, and its generator's codebook has to stay, as if the others were not there.
    """
    if settings.steer != "latents":
        return "only latents know of passages side by side"
    if settings.keep != "last" or settings.patience:
        return "each passage would end at another step"
    if settings.quantiser == "published":
        return "the published quantiser moves with what it hears"
    if not objectives.find(settings.objective).apart:
        return "the objective weighs sources against each other"
    return None


def on_cuda(device: torch.device, step: Step) -> int:
    """Passages that fit into the GPU's free memory, at least one."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    taken = torch.cuda.max_memory_allocated(device) - before
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return fitting(free, taken)


def fitting(free: int, taken: int) -> int:
    """How often `taken` bytes fit into `free` ones, with some room to spare; at least once."""
    return max(1, int(PART * free) // max(1, taken))


FITS: Mapping[str, Fit] = {"cuda": on_cuda}
"""By the type of device; others take one passage after the other, which is no slower there."""


def batches(segments: Iterable[Read], room: Callable[[Tensor], int]) -> Iterator[list[Read]]:
    """Segments in their order, as many at a time as there is room for; what is silent comes by itself.

    Those that come together are of one length.

    Args:
        room: asked once, with the first audio that is not silent.
    """
    held: list[Read] = []
    most = 0
    for segment, channels in segments:
        sounds = bool(channels.any())
        if held and not (sounds and channels.shape == held[0][1].shape):
            yield held
            held = []
        most = most or (room(channels) if sounds else 0)
        held.append((segment, channels))
        if len(held) == most or not sounds:
            yield held
            held = []
    if held:
        yield held
