"""Lessons: what the network hears of a batch of mixtures, and what is true of every patch."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scripts.share_training import studio
from scripts.share_training.drawing import Bank, Drawn, draw
from tagbox.taggers.networks.share_unet import GRID, OF_SIDES, WINDOW, Grid, features, power
from tagbox.tags.vocabularies import RENDERED_CLASSES

SAMPLES = 131_072
"""Of a mixture: a power of two, just longer than the network's window."""
ROOMS = 48
"""That are kept at hand; each lesson changes two of them."""
PLACED = 6
"""Sets of sources that are kept, to be mixed again."""
NEW = 0.4
"""How likely a lesson is mixed from new sources once there are so many."""
REMIXED_DEVIATION = 6.0
"""dB by which the levels change when sources are mixed again."""
REMIXED_SILENT = 0.2
"""How likely a source is left out then."""


@dataclass(frozen=True)
class Lesson:
    """What is heard and what is true.

    Attributes:
        heard: the network's features, (mixtures, features, rows, columns).
        energies: of every class in every patch, (mixtures, classes, rows, columns).
    """

    heard: Tensor
    energies: Tensor


def mirrored(heard: Tensor, random: torch.Generator) -> Tensor:
    """Swap left and right of some of what is heard, (mixtures, features, rows, columns)."""
    signs = torch.ones(heard.shape[1], device=heard.device)
    signs[list(OF_SIDES)] = -1.0
    some = studio.happens(0.5, (len(heard), 1, 1, 1), random)
    return torch.where(some, heard * signs[:, None, None], heard)


@dataclass(frozen=True)
class Placed:
    """The sources of some mixtures, as they stand in the stereo image.

    Attributes:
        audio: (sources, 2, samples).
        energies: of each in every patch, (sources, rows, columns).
        kinds: the class of each.
        mixtures: the mixture that each belongs to.
        mono: whether a mixture is mono, (mixtures,).
    """

    audio: Tensor
    energies: Tensor
    kinds: Tensor
    mixtures: Tensor
    mono: Tensor


@dataclass
class Teacher:
    """Makes lessons on a device.

    Placing sources is most of the work. Each set of them is therefore mixed more than once: at other levels,
    without some of them, with sides swapped, and mastered anew.

    Attributes:
        bank: that phrases are drawn from.
        numbers: what numpy draws with, on the CPU.
        random: what tensors are drawn with, on the device of the lessons.
    """

    bank: Bank
    numbers: np.random.Generator
    random: torch.Generator
    chances: studio.Chances = studio.CHANCES
    rooms: Tensor | None = None
    kept: list[Placed] = field(default_factory=list)

    def made(self, count: int) -> Lesson:
        """Make a lesson of `count` mixtures."""
        if len(self.kept) < PLACED or self.numbers.random() < NEW:
            placed = self.placed(count)
            self.kept = [*self.kept, placed][-PLACED:]
        else:
            placed = remixed(self.kept[int(self.numbers.integers(len(self.kept)))], self.random)
        return heard_lesson(placed, count, self.numbers, self.random, self.chances)

    def placed(self, count: int) -> Placed:
        """Draw the sources of `count` mixtures and place them."""
        device = self.random.device
        drawn = draw(self.bank, count, SAMPLES, self.numbers)
        if self.rooms is None:
            self.rooms = studio.rooms(ROOMS, SAMPLES, self.random)
        else:
            changed = torch.randint(ROOMS, (2,), generator=self.random, device=device)
            self.rooms[changed] = studio.rooms(2, SAMPLES, self.random)
        audio = stereo_sources(drawn, self.rooms, self.random, self.chances)
        mixtures = torch.from_numpy(drawn.mixtures).to(device)
        # Of mono mixtures the sources are mono too, so that what cancels is nobody's.
        mono = studio.happens(self.chances.mono, (count,), self.random)
        alike = audio.mean(dim=1, keepdim=True).expand_as(audio)
        audio = torch.where(mono[mixtures][:, None, None], alike, audio)
        kinds = torch.from_numpy(drawn.kinds).to(device)
        return Placed(audio, patch_energies(audio, GRID), kinds, mixtures, mono)


def remixed(placed: Placed, random: torch.Generator) -> Placed:
    """Mix sources again at other levels, some of them silent, some with left and right swapped."""
    count = len(placed.audio)
    levels = 10 ** (REMIXED_DEVIATION / 20 * studio.randn((count,), random))
    silent = studio.happens(REMIXED_SILENT, (count,), random)
    levels = torch.where(silent, 1e-3 * levels, levels)
    swapped = studio.happens(0.5, (count, 1, 1), random)
    audio = torch.where(swapped, placed.audio.flip(1), placed.audio)
    return replace(
        placed,
        audio=audio * levels[:, None, None],
        energies=placed.energies * levels.square()[:, None, None],
    )


def stereo_sources(drawn: Drawn, rooms: Tensor, random: torch.Generator, chances: studio.Chances) -> Tensor:
    """Bring drawn sources into the stereo image, (sources, 2, samples)."""
    device = random.device
    audio = torch.from_numpy(drawn.audio).to(device)
    audio = studio.played(audio, torch.from_numpy(drawn.speeds).to(device), SAMPLES)
    audio = studio.driven(studio.shaped(audio, random, chances), random, chances)
    return studio.placed(audio, torch.from_numpy(drawn.mixtures).to(device), rooms, random, chances)


def patch_energies(audio: Tensor, grid: Grid, at_once: int = 8) -> Tensor:
    """Measure the energies (rows, rows of patches, columns) of stereo audio (rows, 2, samples).

    The same as by way of `Grid.stft`, in an order of the numbers in memory that takes a third of the time.
    """
    window = torch.hann_window(grid.fft, device=audio.device)
    begins = (0, *(end for _, end in grid.zones))
    made = []
    for some in audio.split(at_once):
        padded = functional.pad(some, (grid.fft // 2, grid.fft // 2), mode="reflect")
        frames = padded.unfold(-1, grid.fft, grid.hop_length)[..., :WINDOW, :] * window
        parts = torch.view_as_real(torch.fft.rfft(frames)).square_()
        bands = torch.cat(
            [
                parts[..., begin:end, :].unflatten(-2, (-1, width)).flatten(-2).sum(dim=-1)
                for (width, end), begin in zip(grid.zones, begins, strict=False)
            ],
            dim=-1,
        )
        made.append(grid.into_patches(bands.sum(dim=1).mT))
    return torch.cat(made)


def heard_lesson(
    placed: Placed,
    count: int,
    numbers: np.random.Generator,
    random: torch.Generator,
    chances: studio.Chances,
    grid: Grid = GRID,
) -> Lesson:
    """Mix placed sources, master the mixtures, and measure what is true of them."""
    sources, mixtures, mono = placed.audio, placed.mixtures, placed.mono
    device = sources.device
    mixture = sources.new_zeros(count, *sources.shape[1:]).index_add_(0, mixtures, sources)
    mixture = studio.mastered(mixture, random, chances)
    for index in range(count):
        if numbers.random() < chances.coded:
            mixture[index] = studio.coded(mixture[index], numbers)

    spectrum = grid.stft(mixture)[..., :WINDOW]
    bins = spectrum.shape[2]
    gains = 10 ** (studio.curves(count, bins, 3.0, random, chances) / 20)
    edge = studio.between(3500.0, 17000.0, (count, 1), random) / (studio.RATE / 2) * bins
    dull = studio.happens(chances.dull, (count, 1), random)
    above = torch.arange(bins, device=device)[None] > edge
    gains = torch.where(dull & above, 1e-4, gains)
    spectrum = spectrum * gains[:, None, :, None]
    level = power(spectrum).mean(dim=(1, 2, 3), keepdim=True).sqrt()
    noisy = studio.happens(chances.noisy, (count,), random).nonzero()[:, 0]
    if len(noisy):
        noise = 10 ** studio.between(-4.5, -1.8, (len(noisy), 1, 1, 1), random) * level[noisy]
        hiss = torch.view_as_complex(studio.randn((len(noisy), *spectrum.shape[1:], 2), random))
        hiss = torch.where(mono[noisy, None, None, None], hiss[:, :1], hiss)
        spectrum = spectrum.index_add(0, noisy, noise * hiss)
    heard = features(spectrum, grid)

    of_gains = grid.into_patches(grid.into_bands(gains.square()[..., None].expand(-1, -1, 4)))
    each = placed.energies * of_gains[mixtures]
    energies = each.new_zeros(count * len(RENDERED_CLASSES), *each.shape[1:])
    energies.index_add_(0, mixtures * len(RENDERED_CLASSES) + placed.kinds, each)
    return Lesson(heard, energies.unflatten(0, (count, -1)))
