"""What was found out about a mixture once, and what decisions are made of it again and again.

Factorising a mixture and asking networks about it takes seconds; masks follow from the answers in
milliseconds. Methods that can be corrected keep the two apart (see `tagbox.methods.separators.Correctable`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from tagbox.methods.components import Factors
from tagbox.taggers.networks.share_unet import power

EPSILON = 1e-12


@dataclass(frozen=True, eq=False)
class Analysis:
    """What a method needs in order to decide about a mixture.

    Attributes:
        factors: of each factorisation; none where the method has no components.
        shares: for each tagger that predicts shares of energy, those of each component,
            (components, classes).
        energies: likewise each component's part of all energy, (components,).
        answers: the share network's shares for every patch, (classes, rows, columns), where it was asked.
        decided: the sources' masks before any adjustment, (sources, bins, frames).
        absent: the sources that the mixture does not have, by number.
    """

    factors: tuple[Factors, ...] = ()
    shares: tuple[Tensor, ...] = ()
    energies: tuple[Tensor, ...] = ()
    answers: Tensor | None = None
    decided: Tensor | None = None
    absent: tuple[int, ...] = ()

    @property
    def unadjusted(self) -> Tensor | None:
        """The masks before any adjustment, the residual's as well, (sources and residual, bins, frames)."""
        if self.decided is None:
            return None
        return with_residual(self.decided)

    @property
    def dictionary(self) -> Tensor:
        """The spectral shapes of all factorisations, (bins, components)."""
        return torch.cat([dictionary for dictionary, _ in self.factors], dim=1)

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        others = [each for each in (self.answers, self.decided) if each is not None]
        tensors = (*chain.from_iterable(self.factors), *self.shares, *self.energies, *others)
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass(frozen=True)
class Edit:
    """Move what is in a rectangle of time and frequency from source to source.

    Attributes:
        source: its number; the residual's is the number of sources.
        start: s from the beginning of the mixture.
        stop: s, infinity for the end.
        low: Hz.
        high: Hz, infinity for the highest frequency.
        part: from 0 to 1, how much of what the others have goes over to the source; or, where `takes`, how
            much of what the source has goes over to the others.
        takes: see `part`.
    """

    source: int
    start: float
    stop: float
    low: float
    high: float
    part: float
    takes: bool = False


@dataclass(frozen=True)
class Span:
    """Move a source's log-odds in a span of time.

    Attributes:
        source: its number.
        start: s from the beginning of the mixture.
        stop: s.
        log_odds: added.
    """

    source: int
    start: float
    stop: float
    log_odds: float


@dataclass(frozen=True, eq=False)
class Adjustments:
    """What corrections change in the decisions about a mixture.

    Attributes:
        components: added to the logarithms of the gates, (sources and residual, components).
        patches: added to the logarithms of the masks, (sources and residual, rows, columns).
        spans: in which the masks are moved by as much at all frequencies.
        moved: the source, by number, of components that somebody has moved.
        edits: of the masks, in the order in which they were made; they have the last word.
    """

    components: Tensor | None = None
    patches: Tensor | None = None
    spans: tuple[Span, ...] = ()
    moved: Mapping[int, int] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()


UNADJUSTED = Adjustments()


@dataclass(frozen=True, eq=False)
class Masks:
    """Masks of a mixture's spectrum, which make the estimates.

    Attributes:
        values: (sources and residual, bins, frames), adding up to one.
        spectrum: of the mixture, (channels, bins, frames).
        hop_length: samples between frames.
    """

    values: Tensor
    spectrum: Tensor
    hop_length: int

    @property
    def energy(self) -> Tensor:
        """Of all channels together, (bins, frames)."""
        return power(self.spectrum).sum(dim=0)


def with_residual(masks: Tensor) -> Tensor:
    """Add the residual's mask to those of the sources, (sources, ...): what they leave of one."""
    return torch.cat([masks, (1 - masks.sum(dim=0, keepdim=True)).clamp(min=0)])


def span_log_odds(spans: Sequence[Span], times: Tensor, sources: int) -> Tensor:
    """Compute what spans add to the logarithms of shares at `times` (s): (sources and residual, times)."""
    result = torch.zeros(sources + 1, len(times), device=times.device)
    for span in spans:
        result[span.source, (times >= span.start) & (times < span.stop)] += span.log_odds
    return result


def adjusted(masks: Tensor, adjustments: Adjustments, rate: int, hop_length: int) -> Tensor:
    """Adjust masks (sources and residual, bins, frames) in spans of time and by edits.

    Args:
        masks: adding up to one.
        adjustments: to be made.
        rate: sample rate of the mixture, Hz.
        hop_length: samples between frames.
    """
    if adjustments.spans:
        times = torch.arange(masks.shape[-1], dtype=torch.float64, device=masks.device) * (hop_length / rate)
        masks = tilted(masks, span_log_odds(adjustments.spans, times, len(masks) - 1)[:, None])
    return edited(masks, adjustments.edits, rate, hop_length)


def edited(masks: Tensor, edits: tuple[Edit, ...], rate: int, hop_length: int) -> Tensor:
    """Move what is in rectangles from mask to mask.

    A rectangle takes in all frames of which a part lies within it, so that a span that is taken from a source
    is silent in its estimate to the last sample.

    Args:
        masks: (sources and residual, bins, frames), adding up to one.
        edits: one after the other.
        rate: sample rate of the mixture, Hz.
        hop_length: samples between frames.

    Returns:
        masks, likewise.
    """
    if not edits:
        return masks
    masks = masks.clone()
    _, bins, frames = masks.shape
    reach = bins - 1
    for edit in edits:
        first = max(0, -int(-(edit.start * rate - reach) // hop_length))
        last = frames if edit.stop == float("inf") else int((edit.stop * rate + reach) // hop_length) + 1
        hz_per_bin = rate / 2 / (bins - 1)
        lowest = min(bins, max(0, round(edit.low / hz_per_bin)))
        highest = bins if edit.high == float("inf") else min(bins, round(edit.high / hz_per_bin) + 1)
        here = masks[:, lowest:highest, first : max(first, last)]
        here.copy_(moved(here, edit))
    return masks


def moved(masks: Tensor, edit: Edit) -> Tensor:
    """Move what an edit says from mask to mask of (sources and residual, ...), all of which it concerns."""
    if not edit.takes:
        kept = masks * (1 - edit.part)
        kept[edit.source] += edit.part
        return kept
    others = torch.arange(len(masks), device=masks.device) != edit.source
    taken, rest = masks[edit.source] * edit.part, masks[others]
    whole = rest.sum(dim=0, keepdim=True)
    # Where nobody else has anything, the last one, the residual, takes it.
    share = torch.where(whole > 0, rest / whole.clamp(min=EPSILON), _only_last(rest))
    result = masks.clone()
    result[edit.source] -= taken
    result[others] = rest + taken * share
    return result


def _only_last(masks: Tensor) -> Tensor:
    last = torch.zeros_like(masks)
    last[-1] = 1
    return last


def tilted(masks: Tensor, log_odds: Tensor) -> Tensor:
    """Multiply masks (sources and residual, ...) by the exponentials of `log_odds`, and normalise."""
    weighted = masks * log_odds.exp()
    return weighted / weighted.sum(dim=0, keepdim=True).clamp(min=EPSILON)


def tensors_of(analysis: Analysis) -> dict[str, Any]:
    """Return an analysis as what `torch.save` writes and `torch.load` reads without any class."""
    return dict(vars(analysis))


def analysis_of(tensors: Mapping[str, Any]) -> Analysis:
    """Return the analysis that `tensors_of` took apart."""
    return Analysis(**tensors)
