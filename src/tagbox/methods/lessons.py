r"""What corrections teach: similar sound elsewhere is decided likewise.

Every patch x of time and frequency has features :math:`f(x)`: the square roots of the class shares that the
share network answers with, and of those that the listener predicts for the components that sound in the patch
(whichever of the two the method has). A source's log-odds in a patch are what the networks say plus what was
learnt,

.. math::  z_s(x) = z^0_s(x) + \theta_s \cdot f(x), \qquad p = \mathrm{softmax}(z), \quad z_{residual} = z^0

so that nothing changes while nothing is learnt. The weights :math:`\theta` have a normal prior around 0 with
the deviation `WEIGHT_DEVIATION`.

A mark says: here is the worst mistake that I hear in this source's estimate. With the estimate's mask q as it
was when the mark was made, and the energy e, a stretch of time w of the mark's length has the mistakes

.. math::  n_w = \sum_{x \in w} e\, q^2 (1 - p) \quad \text{(others in the estimate)}, \qquad
           i_w = \sum_{x \in w} e\, (1 - q)^2 p \quad \text{(of the source in the rest)}

and is marked, as `IsNot` or as `Is`, with a probability in proportion to the mistake to the power of
`MARK_EXPONENT`, among all stretches and both kinds. So a mark speaks against what is heard there *more than
elsewhere*; what the estimate has everywhere it does not blame. Other corrections say of a region what is
there, and count as `REGION_WEIGHT` times the mean cross-entropy over its energy. The most probable weights
under all corrections are found by L-BFGS.

In the marked span itself the log-odds are moved by `SPAN_LOG_ODDS` besides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tagbox.methods.analysis import Analysis, Edit, Masks, Span, span_log_odds
from tagbox.methods.lbfgs import minimise
from tagbox.taggers.networks.share_unet import GRID, Grid

WEIGHT_DEVIATION = 4.0
MARK_EXPONENT = 2.0
SPAN_LOG_ODDS = 0.25
REGION_WEIGHT = 2.0
MAX_LOG_ODDS = 6.0
"""Of what was learnt about a patch."""
ITERATIONS = 8
"""Of L-BFGS."""
POINTS = 4096
"""Patches of a segment that are learnt from: those with the most energy."""
STRETCHES_PER_MARK = 4
"""In how many steps a stretch is moved by its own length."""
LEAST_MISTAKE = 1e-4
"""Of the largest, so that no mistake has the probability 0."""
EPSILON = 1e-12


@dataclass(frozen=True, eq=False)
class Points:
    """Patches to learn from.

    Attributes:
        times: of their middle, s.
        frequencies: of their middle, Hz.
        energies: (points,).
        logits: of the masks before anything was learnt, (sources and residual, points).
        features: (features, points).
    """

    times: Tensor
    frequencies: Tensor
    energies: Tensor
    logits: Tensor
    features: Tensor

    def inside(self, edit: Edit) -> Tensor:
        """Tell which points lie in the rectangle of an edit, whose times are in the recording: (points,)."""
        in_time = (self.times >= edit.start) & (self.times < edit.stop)
        return in_time & (self.frequencies >= edit.low) & (self.frequencies <= edit.high)


@dataclass(frozen=True)
class Mark:
    """A stretch of time in which somebody heard a mistake.

    Attributes:
        source: its number.
        start: s.
        stop: s.
        is_source: whether the rest has something of the source; otherwise the estimate has something else.
        strength: how much it counts.
    """

    source: int
    start: float
    stop: float
    is_source: bool
    strength: float


@dataclass(frozen=True, eq=False)
class Heard:
    """A mark, and what its source's mask was at every point when it was made, (points,)."""

    mark: Mark
    mask: Tensor


def patch_features(analysis: Analysis, columns: int, grid: Grid = GRID) -> Tensor:
    """Compute the features of every patch of a mixture, (features, rows, columns).

    Args:
        analysis: of the mixture.
        columns: of the patches.
        grid: where the patches lie.
    """
    parts = []
    if analysis.answers is not None:
        parts.append(unit(analysis.answers.sqrt()))
    if analysis.factors:
        heard = component_features(analysis)
        parts.append(torch.einsum("krt,fk->frt", memberships(analysis, columns, grid), heard))
    return torch.cat(parts)


def component_features(analysis: Analysis) -> Tensor:
    """Compute the features of every component, (features, components)."""
    return torch.cat([unit(shares.T.sqrt()) for shares in analysis.shares])


def memberships(analysis: Analysis, columns: int, grid: Grid = GRID) -> Tensor:
    """Compute which part of every patch belongs to which component, (components, rows, columns)."""
    parts = []
    for dictionary, activations in analysis.factors:
        rows = into_patches(dictionary.T[:, :, None], grid)[..., 0]
        hop_length = len(dictionary) - 1
        # Patches consist of the share network's frames where it was asked, of the factorisation's otherwise.
        of_patches = hop_length if analysis.answers is None else grid.hop_length
        frames = torch.arange(columns * grid.frames_per_patch, device=activations.device)
        along = _columns(activations, frames * of_patches // hop_length, grid.frames_per_patch)
        part = rows[:, :, None] * along[:, None, :]
        parts.append(part / part.sum(dim=0, keepdim=True).clamp(min=EPSILON))
    return torch.cat(parts) / len(parts)


def points_of(
    masks: Masks, features: Tensor, start: float, rate: int, most: int = POINTS, grid: Grid = GRID
) -> Points:
    """Choose the patches of a segment that are learnt from.

    Args:
        masks: of the segment, before anything was learnt.
        features: of its patches, (features, rows, columns).
        start: of the segment in the recording, s.
        rate: Hz.
        most: how many points at the most.
        grid: where the patches lie.
    """
    energies = into_patches(masks.energy, grid)
    shares = into_patches(masks.values * masks.energy, grid) / energies.clamp(min=EPSILON)
    count = min(most, energies.numel())
    chosen = energies.flatten().topk(count).indices.sort().values
    columns = energies.shape[1]
    seconds = grid.frames_per_patch * masks.hop_length / rate
    widths = torch.tensor(grid.widths).reshape(-1, grid.bands_per_patch).sum(dim=1)
    middles = (widths.cumsum(0) - widths / 2) * (rate / grid.fft)
    logits = shares.flatten(1)[:, chosen].clamp(1e-5, 1).log()
    return Points(
        times=start + (chosen % columns + 0.5).double() * seconds,
        frequencies=middles.to(chosen.device)[chosen // columns],
        energies=energies.flatten()[chosen],
        logits=logits,
        features=features.flatten(1)[:, chosen],
    )


def into_patches(values: Tensor, grid: Grid = GRID) -> Tensor:
    """Sum (..., bins, frames) over patches, whatever the number of bins: (..., rows, columns)."""
    # The grid leaves out the bin at half the sample rate.
    return grid.into_patches(grid.into_bands(_into_bins(values[..., :-1, :], grid.fft // 2)))


def joined(points: Sequence[Points]) -> Points:
    """Join the points of several segments."""
    return Points(
        times=torch.cat([each.times for each in points]),
        frequencies=torch.cat([each.frequencies for each in points]),
        energies=torch.cat([each.energies for each in points]),
        logits=torch.cat([each.logits for each in points], dim=1),
        features=torch.cat([each.features for each in points], dim=1),
    )


def learn(points: Points, heard: Sequence[Heard], edits: Sequence[Edit]) -> Tensor:
    """Find the most probable weights under all corrections, (sources, features).

    Args:
        points: of the whole recording.
        heard: the marks.
        edits: what was said to be where; times in the recording.
    """
    sources = len(points.logits) - 1
    weights = torch.zeros(sources, len(points.features), device=points.features.device)
    if not heard and not edits:
        return weights
    total = points.energies.sum().clamp(min=EPSILON)
    energies = points.energies / total
    spans = [span_of(each.mark) for each in heard]
    base = points.logits + span_log_odds(spans, points.times, sources)
    stretches = [_Stretches.of(each.mark, points.times) for each in heard]
    regions = [_Region.of(edit, points, energies) for edit in edits]

    def loss(weights: Tensor) -> Tensor:
        log_shares = torch.log_softmax(base + _with_residual(weights @ points.features), dim=0)
        result = weights.square().sum() / (2 * WEIGHT_DEVIATION**2)
        for each, stretch in zip(heard, stretches, strict=True):
            share = log_shares[each.mark.source].exp()
            others = stretch.sums(energies * each.mask.square() * (1 - share))
            missing = stretch.sums(energies * (1 - each.mask).square() * share)
            mistakes = torch.cat([others, missing])
            mistakes = mistakes + LEAST_MISTAKE * mistakes.detach().max() + EPSILON
            marked = stretch.marked + (len(others) if each.mark.is_source else 0)
            likelihood = torch.log_softmax(MARK_EXPONENT * mistakes.log(), dim=0)[marked]
            result = result - each.mark.strength * likelihood
        for region in regions:
            result = result + region.cross_entropy(log_shares)
        return result

    return minimise(loss, weights, ITERATIONS)


def span_of(mark: Mark) -> Span:
    """Return by how much a mark moves log-odds in its own span."""
    log_odds = SPAN_LOG_ODDS * mark.strength * (1 if mark.is_source else -1)
    return Span(mark.source, mark.start, mark.stop, log_odds)


def learnt_log_odds(weights: Tensor, features: Tensor) -> Tensor:
    """Compute what was learnt about patches with `features` (features, ...): (sources and residual, ...)."""
    learnt = torch.tensordot(weights, features, dims=1).clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS)
    return _with_residual(learnt)


def _with_residual(log_odds: Tensor) -> Tensor:
    return torch.cat([log_odds, torch.zeros_like(log_odds[:1])])


def unit(vectors: Tensor) -> Tensor:
    """Scale `vectors` (features, ...) to the length 1."""
    lengths: Tensor = vectors.norm(dim=0, keepdim=True)
    return vectors / lengths.clamp(min=EPSILON)


def _into_bins(values: Tensor, bins: int) -> Tensor:
    """Divide or add up a spectrum's bins (..., given, frames) to (..., bins, frames); the sum stays."""
    given = values.shape[-2]
    if given == bins:
        return values
    # For each bin of the finer spectrum, the one of the coarser in which it begins.
    finer, coarser = max(given, bins), min(given, bins)
    begins_in = torch.arange(finer, device=values.device) * coarser // finer
    if given > bins:
        result = values.new_zeros(*values.shape[:-2], bins, values.shape[-1])
        return result.index_add_(-2, begins_in, values)
    return (values / begins_in.bincount()[:, None])[..., begins_in, :]


def _columns(activations: Tensor, frames: Tensor, per_patch: int) -> Tensor:
    """Sum activations (components, frames) at `frames`, so many of them a patch: (components, columns)."""
    missing = int(frames[-1]) + 1 - activations.shape[1]
    padded = torch.nn.functional.pad(activations, (0, max(0, missing)))
    return padded[:, frames].reshape(len(activations), -1, per_patch).sum(dim=-1)


@dataclass(frozen=True, eq=False)
class _Stretches:
    """All stretches of time as long as a mark.

    Attributes:
        order: of the points by time.
        begins: of each stretch, the first of the ordered points that lies in it.
        ends: likewise, the first after it.
        marked: which of them is the mark's own.
    """

    order: Tensor
    begins: Tensor
    ends: Tensor
    marked: int

    @classmethod
    def of(cls, mark: Mark, times: Tensor) -> "_Stretches":
        length = mark.stop - mark.start
        step = length / STRETCHES_PER_MARK
        first, last = float(times.min()), float(times.max())
        before = max(0, int((mark.start - first) // step))
        after = max(0, int((last - mark.stop) // step))
        starts = mark.start + step * torch.arange(
            -before, after + 1, dtype=torch.float64, device=times.device
        )
        ordered, order = times.sort(stable=True)
        return cls(
            order, torch.searchsorted(ordered, starts), torch.searchsorted(ordered, starts + length), before
        )

    def sums(self, values: Tensor) -> Tensor:
        """Sum `values` (points,) over each stretch."""
        up_to = torch.nn.functional.pad(values[self.order].double().cumsum(0), (1, 0))
        return (up_to[self.ends] - up_to[self.begins]).clamp(min=0).to(values.dtype)


@dataclass(frozen=True, eq=False)
class _Region:
    """What was said of a region.

    Attributes:
        source: its number.
        weights: of the points, adding up to one within the region; none where it has no point.
        is_source: whether it belongs to the source, or does not.
        part: how much of it.
    """

    source: int
    weights: Tensor
    is_source: bool
    part: float

    @classmethod
    def of(cls, edit: Edit, points: Points, energies: Tensor) -> "_Region":
        weights = energies * points.inside(edit)
        return cls(edit.source, weights / weights.sum().clamp(min=EPSILON), not edit.takes, edit.part)

    def cross_entropy(self, log_shares: Tensor) -> Tensor:
        """Compute the mean cross-entropy of what was said and of shares (sources and residual, points)."""
        said = log_shares[self.source]
        if not self.is_source:
            said = torch.log((1 - said.exp()).clamp(min=1e-4))
        return -REGION_WEIGHT * self.part * (self.weights * said).sum()
