#!/usr/bin/env python3
"""Ask the paper's question with the share network: what does a steered generator add to the network's mask?

    python -m scripts.steer_by_shares DATA... [--levels 1 2] [--seconds 4] [--steps 10] [--lr 0.1]

DATA are folders as scripts.judge_share_network takes them; of each recording the excerpt in the middle, the
mean of its channels. For each source the mixture is masked in several ways:

- "network": by the network, as the preset fast does it;
- "copy": by the generator's reconstruction of that estimate, which nothing steers (a control);
- "from the mixture": by the generator's audio from latents that begin as the mixture's (Algorithm 1);
- "from the estimate": likewise, from latents that begin as those of the network's estimate;
- "free mask": by the network's mask, whose log-odds are steered themselves, without a generator (a control).

What is steered minimises one of two losses of the network's answers about the estimate and the remainder:

- "presence": the log-odds of the source's share of the whole excerpt, remainder less estimate, which is what
  the objective two-sided does with any tagger;
- "patches": the cross-entropy of the source's share in every patch, one in the estimate and zero in the
  remainder, weighted by the root of the patch's energy. It says where and when as well.

Printed: as scripts.judge_share_network does.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from scripts.judge_share_network import QUIETEST, Measured, Recording, load, measured, recordings_in, report
from tagbox.generators.base import Generator
from tagbox.generators.quantisers import make_quantiser
from tagbox.methods.latents import LatentMask
from tagbox.methods.share_masks import apply_masks, raise_small_sources, source_shares
from tagbox.methods.steerable import Estimate, Steerable
from tagbox.models import load_generator
from tagbox.taggers.networks.share_unet import GRID, RATE, ShareUNet, power, shares
from tagbox.tags.vocabularies import RENDERED_CLASSES, members

WEIGHTS = Path("src/tagbox/taggers/data/rendered-shares.safetensors")
LOSSES = ("presence", "patches")
FFT = (2048,)
"""Of the generator's masks."""
SUREST = 1e-3
"""The least share whose logarithm is taken."""


class FreeMask:
    """A mask at every point, whose log-odds are steered.

    Args:
        mixture: (samples,) at `RATE`.
        mask: to begin with, (bins, frames), of the network's grid.
    """

    rate = RATE
    replayable = True

    def __init__(self, mixture: Tensor, mask: Tensor) -> None:
        self.mixture = mixture
        self._spectrum = GRID.stft(mixture[None, None])[0]
        self._log_odds = torch.logit(mask, SUREST).requires_grad_(True)
        self.parameters: Sequence[Tensor] = (self._log_odds,)

    def estimate(self) -> Estimate:
        """Mask the mixture."""
        masked = apply_masks(torch.sigmoid(self._log_odds)[None], self._spectrum, self.mixture.shape[-1])
        return Estimate(masked, masked.detach())

    def render(self, snapshot: Tensor, channels: Tensor) -> Tensor:
        """Return the estimate of a step."""
        return snapshot


@dataclass(frozen=True, eq=False)
class Listening:
    """What the network is asked about an estimate and the remainder.

    Attributes:
        network: the share network.
        classes: of the source, multi-hot (classes,).
        mixture: (samples,) at `RATE`.
    """

    network: ShareUNet
    classes: Tensor
    mixture: Tensor

    def loss(self, name: str, estimate: Tensor) -> Tensor:
        """Compute one of `LOSSES` for an estimate (samples,)."""
        answers, energy = shares(self.network, torch.stack([estimate, self.mixture - estimate])[:, None])
        own = torch.einsum("c,bcrt->brt", self.classes, answers)
        if name == "presence":
            share = (own * energy).sum(dim=(1, 2)) / energy.sum(dim=(1, 2)).clamp(min=1e-9)
            log_odds = torch.logit(share, SUREST)
            return log_odds[1] - log_odds[0]
        # The root of nothing has no gradient.
        weight = (energy + 1e-6).sqrt()
        wrong = -torch.log(torch.stack([own[0], 1 - own[1]]).clamp(min=SUREST))
        return (weight * wrong).sum() / weight.sum()


def steer(steerable: Steerable, listening: Listening, loss: str, steps: int, lr: float) -> Tensor:
    """Steer by Adam; return the estimate (samples,) of the step with the least loss."""
    optimiser = torch.optim.Adam(steerable.parameters, lr)
    best, chosen = float("inf"), None
    for _ in range(steps):
        optimiser.zero_grad()
        estimate = steerable.estimate().audio.reshape(-1)
        found = listening.loss(loss, estimate)
        if found.item() < best:
            best, chosen = found.item(), estimate.detach()
        found.backward()
        optimiser.step()
    assert chosen is not None
    return chosen


@torch.no_grad()
def mask_by_network(network: ShareUNet, mixture: Tensor, classes: Tensor) -> Tensor:
    """Compute the mask of the preset fast, (bins, frames), for a mixture (samples,)."""
    answers, energy = shares(network, mixture[None, None])
    spectrum = GRID.stft(mixture[None, None])[0]
    divided = source_shares(answers[0], energy[0], classes[None])
    masks = raise_small_sources(GRID.over_bins(divided, spectrum.shape[-1]), power(spectrum).sum(dim=0))
    return masks[0]


def excerpt(recording: Recording, seconds: float) -> Recording:
    """Cut `seconds` from the middle, and mix the channels; leave out what is silent there."""
    samples = min(round(seconds * RATE), recording.mixture.shape[-1])
    begin = (recording.mixture.shape[-1] - samples) // 2
    here = slice(begin, begin + samples)
    sources = {tag: source[..., here].mean(dim=0, keepdim=True) for tag, source in recording.sources.items()}
    audible = {tag: source for tag, source in sources.items() if float(source.abs().max()) > QUIETEST}
    mixture = recording.mixture[..., here].mean(dim=0, keepdim=True)
    return Recording(recording.data, recording.name, mixture, audible)


def separated(
    network: ShareUNet, generator: Generator, recording: Recording, tag: str, options: argparse.Namespace
) -> Iterator[tuple[str, Tensor]]:
    """Estimate a source in every way: (way, (samples,))."""
    mixture = recording.mixture[0]
    own = members(tag, "rendered")
    classes = torch.tensor([float(name in own) for name in RENDERED_CLASSES])
    listening = Listening(network, classes, mixture)
    mask = mask_by_network(network, mixture, classes)
    spectrum = GRID.stft(mixture[None, None])[0]
    by_network = apply_masks(mask[None], spectrum, mixture.shape[-1])[0, 0]
    yield "network", by_network
    for loss in LOSSES if options.free_mask else ():
        free = FreeMask(mixture, mask)
        yield f"free mask, {loss}", steer(free, listening, loss, options.steps, options.lr)
    for level in options.levels:
        with torch.no_grad():
            copy = latent_mask(generator, mixture, by_network, level).estimate().audio
        yield f"level {level}, copy", copy.reshape(-1)
        for loss in LOSSES:
            for begin, initial in (("mixture", mixture), ("estimate", by_network)):
                latents = latent_mask(generator, mixture, initial, level)
                estimate = steer(latents, listening, loss, options.steps, options.lr)
                yield f"level {level}, from the {begin}, {loss}", estimate


def latent_mask(generator: Generator, mixture: Tensor, initial: Tensor, level: int) -> LatentMask:
    """Encode `initial` to latents whose audio masks `mixture`, (samples,) both."""
    quantiser = make_quantiser("straight-through", generator, level, 0)
    return LatentMask(generator, mixture, level, quantiser, FFT, initial_audio=initial)


def main() -> None:
    """Separate, measure, print, and add to the log."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--generator", default="embedded")
    parser.add_argument("--levels", type=int, nargs="*", default=[1, 2], help="of the generator")
    parser.add_argument(
        "--no-free-mask", dest="free_mask", action="store_false", help="leave out the control"
    )
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--every", type=int, default=1, help="take only every so many recordings of a set")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--log", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = load(options.weights).requires_grad_(False)
    generator = load_generator(options.generator)
    assert generator.rate == RATE
    rows: dict[tuple[str, str], list[Measured]] = {}
    for folder in options.data:
        every = recordings_in(folder, options.every)
        for recording in (excerpt(one, options.seconds) for one in every):
            for tag, source in recording.sources.items():
                if tag == "accompaniment":
                    continue
                for way, estimate in separated(network, generator, recording, tag, options):
                    found = measured(estimate[None], source, recording.mixture)
                    rows.setdefault((recording.data, way), []).append(found)
                    print(f"{recording.name} {tag} {way}: {found.improvement:+.2f}", flush=True)
    about = {"seconds": options.seconds, "lr": options.lr, "steps": options.steps}
    report(rows, about, options.log)


if __name__ == "__main__":
    main()
