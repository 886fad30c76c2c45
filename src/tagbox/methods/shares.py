"""Separate by the share network, alone and together with components.

- `PatchShares`: one forward pass of the network, whose shares are masks.
- `SharesAndComponents`: the product of these masks and those of `TaggedComponents`, which err elsewhere.
"""

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from tagbox.audio.downmix import downmix
from tagbox.errors import TagBoxError
from tagbox.methods.gate_inference import class_shares, share_taggers
from tagbox.methods.separators import Preparation, RecordingSurvey, Separated, TaggedComponents, unsteered_run
from tagbox.methods.share_masks import (
    apply_masks,
    masks_of,
    product_of_masks,
    raise_small_sources,
    source_shares,
)
from tagbox.methods.steering import OnStep
from tagbox.methods.task import Task
from tagbox.taggers.networks.share_unet import GRID, ShareUNet, power, shares_of_spectrum
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
        positions = share_taggers(self.task.taggers)
        if not positions:
            return Preparation(self)
        surveyed = torch.stack(
            [class_shares(survey.predictions[i], survey.energies, self.task.taggers[i]) for i in positions]
        )
        return Preparation(replace(self, recording_shares=surveyed.mean(dim=0)))

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Mask every channel; the loss is reported, not minimised."""
        start = time.monotonic()
        heard = hear(self.task, mixture, self.recording_shares)
        masks = raise_small_sources(heard.masks, heard.energy)
        estimates = apply_masks(masks[:-1], heard.spectrum, heard.samples)[..., : mixture.shape[-1]]
        mono = torch.stack([downmix(own) for own in estimates])
        run = unsteered_run(self.task, mono, downmix(mixture), self.task.rate, start, self.on_step)
        return estimates, (run,)


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
        shares, components = self.shares.prepare(survey).separator, self.components.prepare(survey).separator
        assert isinstance(shares, PatchShares) and isinstance(components, TaggedComponents)
        return Preparation(replace(self, shares=shares, components=components))

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Separate by both."""
        by_components, runs = self.components.separate(mixture, initial_audio)
        heard = hear(self.shares.task, mixture, self.shares.recording_shares)
        masks = product_of_masks(heard.masks, masks_of(by_components, heard.spectrum), heard.energy)
        estimates = apply_masks(masks[:-1], heard.spectrum, heard.samples)
        return estimates[..., : mixture.shape[-1]], runs


@dataclass(frozen=True, eq=False)
class Heard:
    """What the network makes of a mixture.

    Attributes:
        spectrum: of the mixture, (channels, bins, frames).
        energy: of all channels together, (bins, frames).
        masks: (sources and residual, bins, frames).
        samples: of the mixture, which is as long as a window at least.
    """

    spectrum: Tensor
    energy: Tensor
    masks: Tensor
    samples: int


def shares_and_components(task: Task, on_step: OnStep | None) -> SharesAndComponents:
    """Make the separator; what is reported is the components' step."""
    return SharesAndComponents(PatchShares(task), TaggedComponents(task, on_step))


@torch.no_grad()
def hear(task: Task, mixture: Tensor, recording_shares: Tensor | None) -> Heard:
    """Ask the task's share network for the sources' masks of a mixture (channels, samples)."""
    network = task.share_network
    if network is None or not isinstance(network.network, ShareUNet):
        raise TagBoxError("this needs the share network; choose a preset or --steer that has it")
    padded = functional.pad(mixture[None], (0, max(0, GRID.fft - mixture.shape[-1])))
    spectrum = GRID.stft(padded)
    energy = power(spectrum).sum(dim=1)
    of_patches = GRID.into_patches(GRID.into_bands(energy))[0]
    answers = shares_of_spectrum(network.network, spectrum)[0]
    classes = class_matrix(task.queries, network.data).to(answers)
    divided = source_shares(answers, of_patches, classes, recording_shares)
    return Heard(spectrum[0], energy[0], GRID.over_bins(divided, spectrum.shape[-1]), padded.shape[-1])


def class_matrix(queries: tuple[str, ...], data: str) -> Tensor:
    """Return the classes of the vocabulary `data` that each query means, multi-hot (sources, classes)."""
    meant = [{one for tag in target_tags(query, data) for one in members(tag, data)} for query in queries]
    return torch.tensor([[float(one in source) for one in EXCLUSIVE[data]] for source in meant])
