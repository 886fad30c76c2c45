"""Separate by the share network, alone and together with components.

- `PatchShares`: one forward pass of the network, whose shares are masks.
- `SharesAndComponents`, the default: the product of these masks and those of components, which err elsewhere.
- `SharesAndSteeredGates`: the same with components whose gates are steered by gradient.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tagbox.audio.downmix import downmix, polarities
from tagbox.errors import TagBoxError
from tagbox.methods.absence import (
    CAUTION,
    log_odds_of_presence,
    predicted_shares,
    silenced,
    still_absent,
    sureness,
)
from tagbox.methods.analysis import UNADJUSTED, Adjustments, Analysis, Masks, adjusted, tilted
from tagbox.methods.gate_inference import class_shares, share_taggers
from tagbox.methods.separators import (
    Preparation,
    RecordingSurvey,
    Separated,
    Separator,
    TaggedComponents,
    separate_by_gates,
    unsteered_run,
)
from tagbox.methods.share_masks import (
    apply_masks,
    masks_of,
    product_of_masks,
    raise_small_sources,
    source_shares,
)
from tagbox.methods.steering import OnStep
from tagbox.methods.task import Task
from tagbox.taggers.networks.share_unet import GRID, RATE, ShareUNet, power, shares_of_spectrum
from tagbox.taggers.tagger import Tagger
from tagbox.tags.query import target_tags
from tagbox.tags.vocabularies import EXCLUSIVE, members


@dataclass(frozen=True, eq=False)
class PatchShares:
    """Give every moment and band to the sources in the shares that the network answers with.

    Attributes:
        recording_shares: where segments of a longer recording are separated, each class's part of its energy.
    """

    task: Task
    on_step: OnStep | None = None
    recording_shares: Tensor | None = None
    batchable: bool = False

    def prepare(self, survey: RecordingSurvey) -> Preparation:
        """Take the class prior from the whole recording, where a tagger that predicts shares surveyed it."""
        network = self.task.share_network
        positions = [
            i
            for i in share_taggers(self.task.taggers)
            if network is not None and self.task.taggers[i].data == network.data
        ]
        if not positions:
            return Preparation(self)
        surveyed = torch.stack(
            [class_shares(survey.predictions[i], survey.energies, self.task.taggers[i]) for i in positions]
        )
        return Preparation(replace(self, recording_shares=surveyed.mean(dim=0)))

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Mask every channel; the loss is reported, not minimised."""
        return self.analyse_and_separate(mixture)[2]

    def analyse_and_separate(self, mixture: Tensor) -> tuple[Analysis, Masks, Separated]:
        """Separate a mixture; keep the network's answers."""
        start = time.monotonic()
        analysis, masks, estimates = self.decide(Analysis(answers=ask(self.task, mixture)), mixture)
        mono = torch.stack([downmix(own) for own in estimates])
        run = unsteered_run(self.task, mono, downmix(mixture), self.task.rate, start, self.on_step)
        return analysis, masks, (estimates, (run,))

    def decide(self, analysis: Analysis, mixture: Tensor) -> tuple[Analysis, Masks, Tensor]:
        """Decide by the network's answers."""
        masks = self.masks(replace(analysis, decided=None, absent=()), mixture)
        return leave_out_absent(self.task, analysis, masks, self.apply(masks, mixture))

    @torch.no_grad()
    def masks(self, analysis: Analysis, mixture: Tensor, adjustments: Adjustments = UNADJUSTED) -> Masks:
        """Decide anew by the network's answers."""
        if (unadjusted := analysis.unadjusted) is not None:
            return _adjusted(unadjusted, spectrum_of(mixture), adjustments, analysis.absent)
        heard = hear(self.task, analysis, mixture, self.recording_shares)
        masks = raise_small_sources(heard.masks, heard.energy)
        return _adjusted(masks, heard.spectrum, adjustments, analysis.absent)

    @torch.no_grad()
    def apply(self, masks: Masks, mixture: Tensor) -> Tensor:
        """Mask every channel."""
        samples = mixture.shape[-1]
        return apply_masks(masks.values[:-1], masks.spectrum, max(samples, GRID.fft))[..., :samples]

    def gates(self, analysis: Analysis, adjustments: Adjustments = UNADJUSTED) -> Tensor:
        """Return no gates, as there are no components: (sources and residual, 0)."""
        return torch.zeros(self.task.sources + 1, 0)


@dataclass(frozen=True, eq=False)
class SharesAndComponents:
    """Multiply what the network and what components say of every point.

    Attributes:
        shares: by the network.
        components: whose loss is reported.
    """

    shares: PatchShares
    components: TaggedComponents
    batchable: bool = False

    def prepare(self, survey: RecordingSurvey) -> Preparation:
        """Take the class prior of both from the whole recording."""
        return _prepare_both(self, survey)

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Separate by both."""
        return self.analyse_and_separate(mixture)[2]

    def analyse_and_separate(self, mixture: Tensor) -> tuple[Analysis, Masks, Separated]:
        """Separate a mixture; keep what both found out about it."""
        analysis, _, (by_components, runs) = self.components.analyse_and_separate(mixture)
        analysis = replace(analysis, answers=ask(self.shares.task, mixture), decided=None)
        masks = multiply(self.shares, analysis, mixture, by_components)
        analysis, masks, estimates = leave_out_absent(
            self.shares.task, analysis, masks, self.apply(masks, mixture)
        )
        return analysis, masks, (estimates, runs)

    def decide(self, analysis: Analysis, mixture: Tensor) -> tuple[Analysis, Masks, Tensor]:
        """Decide by both."""
        masks = self.masks(replace(analysis, decided=None, absent=()), mixture)
        return leave_out_absent(self.shares.task, analysis, masks, self.apply(masks, mixture))

    @torch.no_grad()
    def masks(self, analysis: Analysis, mixture: Tensor, adjustments: Adjustments = UNADJUSTED) -> Masks:
        """Decide anew by both."""
        if (unadjusted := analysis.unadjusted) is not None and not adjustments.moved:
            return _adjusted(unadjusted, spectrum_of(mixture), adjustments, analysis.absent)
        analysis = replace(analysis, decided=None)
        of_components = replace(adjustments, spans=(), edits=())
        masks = self.components.masks(analysis, mixture, of_components)
        return multiply(self.shares, analysis, mixture, self.components.apply(masks, mixture), adjustments)

    def apply(self, masks: Masks, mixture: Tensor) -> Tensor:
        """Mask every channel."""
        return self.shares.apply(masks, mixture)

    def gates(self, analysis: Analysis, adjustments: Adjustments = UNADJUSTED) -> Tensor:
        """Compute the gates of components, (sources and residual, components)."""
        return self.components.gates(analysis, adjustments)


@dataclass(frozen=True, eq=False)
class SharesAndSteeredGates:
    """Multiply what the network says of every point with components whose gates are steered.

    Attributes:
        shares: by the network.
        components: whose losses are reported.
    """

    shares: PatchShares
    components: Separator
    batchable: bool = False

    def prepare(self, survey: RecordingSurvey) -> Preparation:
        """Prepare both for the whole recording."""
        return _prepare_both(self, survey)

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Separate by both."""
        by_components, runs = self.components.separate(mixture, initial_audio)
        analysis = Analysis(answers=ask(self.shares.task, mixture))
        return self.shares.apply(multiply(self.shares, analysis, mixture, by_components), mixture), runs


def _prepare_both(both: SharesAndComponents | SharesAndSteeredGates, survey: RecordingSurvey) -> Preparation:
    shares, components = both.shares.prepare(survey).separator, both.components.prepare(survey)
    changed: dict[str, Any] = {"shares": shares, "components": components.separator}
    return replace(components, separator=replace(both, **changed))


@torch.no_grad()
def multiply(
    shares: PatchShares,
    analysis: Analysis,
    mixture: Tensor,
    by_components: Tensor,
    adjustments: Adjustments = UNADJUSTED,
) -> Masks:
    """Multiply the network's masks with those that estimates by components have.

    Args:
        shares: by the network.
        analysis: with the network's answers.
        mixture: (channels, samples).
        by_components: estimates, (sources, channels, samples).
        adjustments: of the product.
    """
    heard = hear(shares.task, analysis, mixture, shares.recording_shares)
    masks = product_of_masks(heard.masks, masks_of(by_components, heard.spectrum), heard.energy)
    return _adjusted(masks, heard.spectrum, adjustments, analysis.absent)


@torch.no_grad()
def leave_out_absent(
    task: Task, analysis: Analysis, masks: Masks, estimates: Tensor
) -> tuple[Analysis, Masks, Tensor]:
    """Silence the sources that a mixture does not have, unless the task keeps them.

    Args:
        task: asks for the sources.
        analysis: of the mixture, with the network's answers.
        masks: of a separation.
        estimates: of the same, (sources, channels, samples).

    Returns:
        all three; the analysis knows the masks, and who is absent.
    """
    absent = absent_sources(task, analysis, masks, estimates)
    analysis = replace(analysis, decided=masks.values[:-1], absent=absent)
    if not absent:
        return analysis, masks, estimates
    kept = torch.ones(len(estimates), 1, 1, device=estimates.device)
    kept[list(absent)] = 0
    return analysis, replace(masks, values=silenced(masks.values, absent)), kept * estimates


def absent_sources(task: Task, analysis: Analysis, masks: Masks, estimates: Tensor) -> tuple[int, ...]:
    """Return the numbers of the sources that a mixture does not have; the arguments are as above."""
    positions = share_taggers(task.taggers)
    asked = torch.tensor([[bool(task.target_tags[query][i]) for query in task.queries] for i in positions])
    if task.settings.unheard == "kept" or not bool(asked.any()):
        return ()
    assert analysis.answers is not None
    classes = class_matrix(task.queries, share_network(task)[0].data, task.settings.without)
    energy = GRID.into_patches(GRID.into_bands(masks.energy))
    sure = sureness(analysis.answers, energy, classes.to(analysis.answers))
    mono = torch.stack([downmix(own) for own in estimates])
    predicted = torch.stack(
        [
            predicted_shares(
                mono,
                task.rate,
                task.steering_taggers[i],
                [task.target_tags[query][i] for query in task.queries],
                task.settings.padding,
            )
            for i in positions
        ]
    )
    # A tagger says nothing of sources for which it has no tag.
    weights = asked.to(predicted)
    mean = (weights * predicted).sum(dim=0) / weights.sum(dim=0).clamp(min=1)
    absent = log_odds_of_presence(sure, mean) < -CAUTION
    return tuple(int(i) for i in (absent & asked.any(dim=0).to(absent.device)).nonzero())


@dataclass(frozen=True, eq=False)
class Heard:
    """What the network makes of a mixture.

    Attributes:
        spectrum: of the mixture, (channels, bins, frames).
        energy: of all channels together, (bins, frames).
        masks: (sources and residual, bins, frames).
    """

    spectrum: Tensor
    energy: Tensor
    masks: Tensor


def shares_and_components(task: Task, on_step: OnStep | None) -> Separator:
    """Make the separator; what is reported are the components' steps."""
    components = separate_by_gates(task, on_step)
    if isinstance(components, TaggedComponents):
        return SharesAndComponents(PatchShares(task), components)
    return SharesAndSteeredGates(PatchShares(task), components)


def spectrum_of(mixture: Tensor) -> Tensor:
    """Transform a mixture (channels, samples), which is padded to a window, to (channels, bins, frames)."""
    padded = functional.pad(mixture[None], (0, max(0, GRID.fft - mixture.shape[-1])))
    return GRID.stft(padded)[0]


@torch.no_grad()
def ask(task: Task, mixture: Tensor) -> Tensor:
    """Ask the task's share network about a mixture (channels, samples).

    Returns:
        the classes' shares of every patch, (classes, rows, columns).

    Raises:
        TagBoxError: the task has no share network.
    """
    spectrum, polarity = spectrum_of(mixture), polarities(mixture)
    if polarity is not None:
        # A channel whose polarity is reversed would be heard as a stereo image that no music has.
        spectrum = polarity[:, None, None] * spectrum
    return shares_of_spectrum(share_network(task)[1], spectrum[None])[0]


def share_network(task: Task) -> tuple[Tagger, ShareUNet]:
    """Return the task's share network.

    Raises:
        TagBoxError: it has none.
    """
    tagger = task.share_network
    if tagger is None or not isinstance(tagger.network, ShareUNet):
        raise TagBoxError("this needs the share network; choose a preset or --steer that has it")
    return tagger, tagger.network


@torch.no_grad()
def hear(task: Task, analysis: Analysis, mixture: Tensor, recording_shares: Tensor | None) -> Heard:
    """Turn the network's answers about a mixture (channels, samples) into the sources' masks."""
    assert analysis.answers is not None
    spectrum = spectrum_of(mixture)
    energy = power(spectrum).sum(dim=0)
    of_patches = GRID.into_patches(GRID.into_bands(energy))
    data = share_network(task)[0].data
    classes = class_matrix(task.queries, data, task.settings.without).to(analysis.answers)
    divided = source_shares(analysis.answers, of_patches, classes, recording_shares)
    return Heard(spectrum, energy, GRID.over_bins(divided, spectrum.shape[-1]))


def _adjusted(masks: Tensor, spectrum: Tensor, adjustments: Adjustments, absent: Sequence[int]) -> Masks:
    """Adjust masks (sources and residual, bins, frames) of a mixture's spectrum, without `absent` sources."""
    if adjustments.patches is not None:
        masks = tilted(masks, GRID.over_bins(adjustments.patches, masks.shape[-1]))
    values = silenced(adjusted(masks, adjustments, RATE, GRID.hop_length), still_absent(absent, adjustments))
    return Masks(values, spectrum, GRID.hop_length)


def class_matrix(queries: tuple[str, ...], data: str, without: tuple[str, ...] = ()) -> Tensor:
    """Return the classes of the vocabulary `data` that each query means, multi-hot (sources, classes).

    Args:
        queries: one a source.
        data: the vocabulary.
        without: queries for what no source may hold.
    """
    meant = [
        {one for tag in target_tags(query, data, without=without) for one in members(tag, data)}
        for query in queries
    ]
    return torch.tensor([[float(one in source) for one in EXCLUSIVE[data]] for source in meant])
