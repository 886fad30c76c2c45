r"""Plan overlapping segments of a recording, and crossfade their results without seams.

Segment i reads from i h on, where h is the hop. Where h is a multiple of the period of resampling by p/q and
of the STFT's hop length, both work on one grid for the whole recording. Of what it reads, a segment
contributes the part from :math:`a_i = i h + c` to :math:`a_{i+1} + v`. The context c at both ends is read and
discarded, since filters see an edge there; over the overlap v the segment is crossfaded with its neighbour.
With the fade

.. math::  u(n) = \sin^2 \left( \frac{\pi}{2} \frac{n + 1/2}{v} \right), \qquad 0 \le n < v

the later segment is weighted by u(n) and the earlier one by 1 - u(n) = u(v - 1 - n), and each by 1 elsewhere:
the gains of all segments add up to one at every sample. So whatever two segments agree on stays unchanged,
and estimates that add up to the mixture in every segment add up to it in the whole recording. Amplitudes, not
powers, are complementary, because both sides are estimates of the same signal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tagbox.errors import TagBoxError


@dataclass(frozen=True)
class Segment:
    """A part of a recording, in samples of it.

    Attributes:
        read_start: first sample that is read.
        read_stop: end of what is read, exclusive.
        start: first sample of its own part, which excludes the context.
        stop: end of its own part, exclusive.
        fade_in: samples of its own part that it shares with the segment before.
        fade_out: samples of its own part that it shares with the segment after.
    """

    read_start: int
    read_stop: int
    start: int
    stop: int
    fade_in: int
    fade_out: int


def plan_segments(
    samples: int, length: int, overlap: int, context: int = 0, unit: int = 1, align: int = 1
) -> list[Segment]:
    """Plan segments of about one length that cover a recording; none reads more than `length` samples.

    Args:
        samples: of the recording.
        length: what one segment may read.
        overlap: of neighbours' own parts.
        context: read at both ends and not used.
        unit: all positions but the recording's end are multiples of it; overlap and context are rounded up.
        align: the hop is a multiple of it where `length` has room for that.

    Raises:
        TagBoxError: `length` has no room for overlap and context.
    """
    if samples <= length:
        return [Segment(0, samples, 0, samples, 0, 0)]
    overlap, context = _round_up(overlap, unit), _round_up(context, unit)
    room = length - overlap - 2 * context
    step = math.lcm(unit, align)
    step = step if room // step * step >= max(overlap, 1) else unit
    longest = room // step * step
    if longest < max(overlap, 1):
        raise TagBoxError(
            f"a segment of {length} samples has no room for an overlap of {overlap} and a context of "
            f"{context} at both ends; take longer segments (--segment) or a smaller overlap (--overlap)"
        )
    to_cover = samples - context - overlap
    # As even as the grid allows: a last segment of one second would be separated by one second of evidence.
    hop = _round_up(math.ceil(to_cover / math.ceil(to_cover / longest)), step)
    count = max(1, math.ceil(to_cover / hop))
    segments = []
    for i in range(count):
        ends = i == count - 1
        stop = samples if ends else (i + 1) * hop + context + overlap
        segments.append(
            Segment(
                read_start=i * hop,
                read_stop=min(samples, stop + context),
                start=i * hop + context if i else 0,
                stop=stop,
                fade_in=overlap if i else 0,
                fade_out=0 if ends else overlap,
            )
        )
    return segments


def segment_gains(segment: Segment) -> Tensor:
    """Compute the crossfade's gain at each sample of a segment's own part, (stop - start,) float32."""
    gains = torch.ones(segment.stop - segment.start)
    if segment.fade_in:
        gains[: segment.fade_in] = fade_in(segment.fade_in)
    if segment.fade_out:
        gains[len(gains) - segment.fade_out :] = 1 - fade_in(segment.fade_out)
    return gains


def fade_in(samples: int) -> Tensor:
    """Compute gains from 0 to 1, (samples,) float32, that add up to one with their reverse."""
    positions = (torch.arange(samples, dtype=torch.float64) + 0.5) / samples
    return torch.sin(0.5 * torch.pi * positions).square().float()


def crossfade(tail: Tensor | None, part: Tensor, segment: Segment) -> tuple[Tensor, Tensor | None]:
    """Add a segment's own part to the tail of the segment before.

    Args:
        tail: what the last call returned, (..., fade_in); None before the first.
        part: of this segment, (..., stop - start).

    Returns:
        what is finished, (..., stop - start - fade_out), and what the next segment is added to.
    """
    weighted = part * segment_gains(segment).to(part)
    if tail is not None:
        weighted[..., : segment.fade_in] += tail
    finished = part.shape[-1] - segment.fade_out
    return weighted[..., :finished], weighted[..., finished:].clone() if segment.fade_out else None


def rescale(segment: Segment, up: int, down: int, samples: int) -> Segment:
    """Convert a segment to `up` / `down` times its sample rate.

    Args:
        segment: its positions are multiples of `down`, except for the recording's end.
        up: numerator of the ratio of sample rates.
        down: denominator of the ratio of sample rates.
        samples: length of the whole recording at the new rate.
    """
    is_last = not segment.fade_out
    return Segment(
        read_start=segment.read_start // down * up,
        read_stop=samples if is_last else segment.read_stop // down * up,
        start=segment.start // down * up,
        stop=samples if is_last else segment.stop // down * up,
        fade_in=segment.fade_in // down * up,
        fade_out=segment.fade_out // down * up,
    )


def segment_spans(segments: Sequence[Segment]) -> list[tuple[int, int]]:
    """Return the span of samples that each segment reads."""
    return [(segment.read_start, segment.read_stop) for segment in segments]


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
