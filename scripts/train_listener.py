#!/usr/bin/env python3
"""Teach the listener on mixtures of rendered phrases, parts of them and wrong separations.

    train_listener.py BANK OUT.safetensors [--soundfont NAME]... [--minutes 50] [--seed 0]

BANK is what listener_corpus.py rendered. Each step makes a few mixtures of one to six instruments, takes
them apart by non-negative matrix factorisation, and lets the network hear several makings of each: a
component alone, random components, about the right ones for one instrument, the others, and the whole. It is
told, for every eighth of a second, which share of the energy in what it hears is of which instrument.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from tagbox.atomic_files import write_atomically
from tagbox.taggers.networks.listener import FFT, HOP, WINDOW_SAMPLES, Listener, NormalisedMel, sum_frames
from tagbox.tags.vocabularies import RENDERED_CLASSES as CLASSES

PROGRAMS: dict[str, tuple[int, ...]] = {
    "acoustic piano": (0, 1, 2, 3),
    "electric piano": (4, 5),
    "harpsichord": (6, 7),
    "chromatic percussion": (*range(8, 16), 108, 112, 114),
    "organ": (16, 17, 18, 19, 20),
    "accordion": (21, 22, 23),
    "acoustic guitar": (24, 25),
    "clean guitar": (26, 27, 28, 31),
    "distorted guitar": (29, 30),
    "bass": tuple(range(32, 40)),
    "violin": (40, 41, 110),
    "cello": (42, 43),
    "orchestral strings": (44, 48, 49, 50, 51),
    "pizzicato": (45,),
    "harp": (46,),
    "choir": (52, 53, 54),
    "trumpet": (56, 59),
    "horn": (57, 58, 60),
    "brass section": (61, 62, 63),
    "saxophone": (64, 65, 66, 67),
    "oboe": (68, 69, 70, 109, 111),
    "clarinet": (71,),
    "flute": tuple(range(72, 80)),
    "synth lead": tuple(range(80, 88)),
    "synth pad": tuple(range(88, 104)),
    "sitar": (104, 105, 106, 107),
    "drums": (47, 113, 115, 116, 117, 118, 119),
    "effects": (55, *range(120, 128)),
}
"""Of General MIDI; drum kits are "drums" and recordings called sing-* "solo singing"."""

HOW_OFTEN = {
    "effects": 0.3,
    "sitar": 0.5,
    "harpsichord": 0.7,
    "drums": 1.7,
    "bass": 2.0,
    "solo singing": 2.5,
    "acoustic piano": 1.5,
    "acoustic guitar": 1.3,
    "clean guitar": 1.3,
    "distorted guitar": 1.3,
}
"""About as music has it: what is played more often is asked for more often; 1 for all others."""

DRIVEN = {"bass": 0.4, "drums": 0.3, "solo singing": 0.3, "clean guitar": 0.3}
"""How likely a sound goes through an overdriven amplifier or a hard compressor; one in ten for all others."""

SEVERAL = (0.26, 0.28, 0.2, 0.13, 0.08, 0.05)
HEARD = 6  # makings of each mixture
MOST = 6  # sources
BANDS_OF_EQ = 6


@dataclass
class Bank:
    """The phrases by class; files that appear later are found by `refresh`."""

    folder: Path
    soundfonts: tuple[str, ...]
    phrases: dict[str, list[np.ndarray]] = field(default_factory=dict)
    known: set[Path] = field(default_factory=set)

    def refresh(self) -> None:
        """Open what is new."""
        by_program = {program: name for name, own in PROGRAMS.items() for program in own}
        for path in sorted(self.folder.glob("*/*.npy")):
            if path in self.known or (self.soundfonts and path.parent.name not in self.soundfonts):
                continue
            self.known.add(path)
            kind = path.stem.partition("-")[0]
            name = {"kit": "drums", "sing": "solo singing"}.get(kind) or by_program[int(path.stem)]
            self.phrases.setdefault(name, []).append(np.load(path, mmap_mode="r"))


def crop(rows: np.ndarray, index: int, start: int, speed: float) -> np.ndarray:
    """Play a window of a phrase at `speed` by linear interpolation; it begins anew at its end."""
    row = rows[index % len(rows)]
    if speed == 1.0:
        return np.take(row, np.arange(start, start + WINDOW_SAMPLES), mode="wrap").astype(np.float32) / 32768
    places = (start + speed * np.arange(WINDOW_SAMPLES)) % (len(row) - 1)
    low = places.astype(np.int64)
    part = (places - low).astype(np.float32)
    return (row[low] * (1 - part) + row[low + 1] * part).astype(np.float32) / 32768


def mixtures(bank: Bank, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sources (count, `MOST`, samples) that sound together, and their classes (-1: nobody)."""
    audio = np.zeros((count, MOST, WINDOW_SAMPLES), np.float32)
    classes = np.full((count, MOST), -1)
    names = sorted(bank.phrases)
    weights = np.array([HOW_OFTEN.get(name, 1.0) for name in names])
    for row in range(count):
        several = int(random.choice(MOST, p=SEVERAL)) + 1
        chosen = list(random.choice(names, size=several, p=weights / weights.sum()))
        if several >= 3:
            for common, chance in (("drums", 0.45), ("bass", 0.4), ("solo singing", 0.25)):
                if common in bank.phrases and common not in chosen and random.random() < chance:
                    chosen[int(random.integers(several))] = common
        together = random.random() < 0.6
        speed = 2 ** (random.uniform(-4, 4) / 12) if random.random() < 0.5 else 1.0
        start = int(random.integers(96000))
        for place, name in enumerate(chosen):
            rows = bank.phrases[name][int(random.integers(len(bank.phrases[name])))]
            index = int(random.integers(len(rows)))
            if together:
                one = crop(rows, index - index % 2, start, speed)
            else:
                own = 2 ** (random.uniform(-3, 3) / 12) if random.random() < 0.4 else 1.0
                one = crop(rows, index, int(random.integers(96000)), own)
            if random.random() < DRIVEN.get(name, 0.1):
                one = np.tanh(random.uniform(1, 8) * one / max(1e-4, np.abs(one).max()))
            level = np.sqrt(np.mean(one**2))
            if level > 1e-4:
                audio[row, place] = one * (10 ** (random.normal(0, 5) / 20) / level)
                classes[row, place] = CLASSES.index(name)
    return audio, classes


def coloured(spectra: Tensor, random: torch.Generator, filters: float) -> Tensor:
    """Spectra (sources, bins, frames) through filters (dB), and four in ten through rooms, each its own."""
    sources, bins, _ = spectra.shape
    points = torch.randn(sources, 1, BANDS_OF_EQ, generator=random) * filters
    # Points are equally far apart on a warped axis: ears and equalisers divide the low end finer.
    axis = (torch.arange(bins) / (bins - 1)) ** 0.4 * (BANDS_OF_EQ - 1)
    low = axis.long().clamp(max=BANDS_OF_EQ - 2)
    curve = points[..., low] * (1 - (axis - low)) + points[..., low + 1] * (axis - low)
    spectra = spectra * (10 ** (curve / 20)).view(sources, bins, 1)
    some = torch.rand(sources, generator=random) < 0.4
    dry = spectra[some]
    wet = dry.clone()
    for back in range(1, 9):
        phase = torch.rand(len(dry), bins, 1, generator=random) * 2 * torch.pi
        wet[..., back:] += torch.polar(torch.tensor(0.35 * 0.75**back), phase) * dry[..., :-back]
    spectra[some] = wet
    return spectra


def factorise(magnitude: Tensor, components: int, iterations: int, random: torch.Generator) -> Tensor:
    """Shares (count, components, bins, frames) of a batch of magnitudes (count, bins, frames)."""
    count, bins, frames = magnitude.shape
    shapes = torch.rand(count, bins, components, generator=random) + 0.1
    activations = torch.rand(count, components, frames, generator=random) + 0.1
    for _ in range(iterations):
        ratio = magnitude / (shapes @ activations + 1e-6)
        activations = activations * (shapes.mT @ ratio) / (shapes.sum(1)[..., None] + 1e-6)
        ratio = magnitude / (shapes @ activations + 1e-6)
        shapes = shapes * (ratio @ activations.mT) / (activations.sum(2)[:, None] + 1e-6)
    parts = shapes.mT[..., None] * activations[:, :, None] + 1e-9
    return parts / parts.sum(dim=1, keepdim=True)


def gates(energies: Tensor, random: torch.Generator) -> Tensor:
    """Gates (count, `HEARD`, components) for the makings of each mixture.

    Args:
        energies: of each source in each component, (count, components, sources).
    """
    count, components, sources = energies.shape
    shape = (count, components)

    def rand(*size: int) -> Tensor:
        return torch.rand(*size, generator=random)

    def one_alone() -> Tensor:
        # Mostly components that matter: picked by energy, with luck.
        return torch.zeros(shape).scatter_(1, (energies.sum(2) * rand(*shape)).argmax(1, keepdim=True), 1.0)

    share = energies / (energies.sum(2, keepdim=True) + 1e-9)

    def about_right() -> Tensor:
        wanted = ((energies.sum(1) > 0).float() * rand(count, sources)).argmax(dim=1)
        right = share[torch.arange(count), :, wanted]
        noisy = torch.sigmoid(12 * rand(count, 1) * (right - 0.5) + torch.randn(*shape, generator=random))
        return torch.where(rand(count, 1) < 0.5, noisy, (right > 0.5).float())

    alone, right = one_alone(), about_right()
    some = (rand(*shape) < rand(count, 1)).float()
    soft = rand(*shape) ** (4 * rand(count, 1))
    every = torch.where(rand(count, 1) < 0.6, torch.ones(shape), 1 - alone)
    free = torch.where(rand(count, 1) < 0.5, some, soft)
    return torch.stack([alone, one_alone(), free, right, 1 - right, every], dim=1).clamp(0, 1)


def moving(gates: Tensor, frames: int, random: torch.Generator) -> Tensor:
    """Gates (count, heard, components, frames): of a third of them some open or shut now and then."""
    blocks = 6
    flips = torch.rand(*gates.shape, blocks, generator=random) < 0.25
    flips &= torch.rand(*gates.shape[:2], 1, 1, generator=random) < 0.3
    each = torch.where(flips, 1 - gates[..., None], gates[..., None])
    return each.repeat_interleave(-(-frames // blocks), dim=-1)[..., :frames]


def examples(
    bank: Bank, count: int, random: np.random.Generator, generator: torch.Generator, filters: float
) -> tuple[Tensor, Tensor, Tensor]:
    """What is heard (n, bands, frames), the shares (n, classes, decisions) and weights (n, decisions)."""
    audio, classes = mixtures(bank, count, random)
    sounds = torch.from_numpy(classes >= 0)
    heard_of = torch.stft(
        torch.from_numpy(audio)[sounds], FFT, HOP, window=torch.hann_window(FFT), return_complex=True
    )
    spectra = torch.zeros(count, MOST, *heard_of.shape[1:], dtype=heard_of.dtype)
    spectra[sounds] = coloured(heard_of, generator, filters)
    power = torch.view_as_real(spectra).square().sum(-1)
    mixture = spectra.sum(dim=1)
    whole = torch.view_as_real(mixture).square().sum(-1)
    components = int(random.choice([6, 10, 14, 20]))
    shares = factorise(whole.sqrt(), components, int(random.integers(10, 26)), generator)
    energies = torch.einsum("nkft,nsft->nks", shares, power)
    opened = moving(gates(energies, generator), whole.shape[-1], generator)
    masks = torch.einsum("nhkt,nkft->nhft", opened, shares).square()
    # A few hear true sources with the others leaking in, by no mask at all.
    leaks = torch.rand(count, HEARD, MOST, generator=generator) ** (
        6 * torch.rand(count, HEARD, 1, generator=generator)
    )
    leaking = torch.einsum("nhs,nsft->nhft", leaks, power)
    heard = masks * whole[:, None]
    masked = torch.einsum("nhft,nsft->nhst", masks, power)
    leaked = leaks[..., None] * power.sum(dim=2)[:, None]
    free = (torch.rand(count, HEARD, generator=generator) < 0.25)[..., None, None]
    heard = torch.where(free, leaking, heard).flatten(0, 1)
    masked = torch.where(free, leaked, masked).flatten(0, 1)

    index = torch.from_numpy(np.where(classes < 0, len(CLASSES), classes))
    one_hot = torch.nn.functional.one_hot(index, len(CLASSES) + 1)[..., :-1].float()
    one_hot = one_hot.repeat_interleave(HEARD, dim=0)
    by_class = torch.einsum("nst,nsc->nct", masked, one_hot)
    return told(heard, by_class, generator)


def solos(
    bank: Bank, count: int, random: np.random.Generator, generator: torch.Generator, filters: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As `examples`, of one instrument each with another leaking in: cheap, and all of them different.

    Half are heard through the mask of one of their own moments, which is much like a component.
    """
    names = sorted(bank.phrases)
    classes = random.integers(len(names), size=count)
    audio = np.zeros((count, WINDOW_SAMPLES), np.float32)
    for row, one in enumerate(classes):
        rows = bank.phrases[names[one]][int(random.integers(len(bank.phrases[names[one]])))]
        speed = 2 ** (random.uniform(-4, 4) / 12) if random.random() < 0.4 else 1.0
        audio[row] = crop(rows, int(random.integers(len(rows))), int(random.integers(96000)), speed)
        audio[row] /= np.sqrt(np.mean(audio[row] ** 2)) + 1e-4
    spectra = torch.stft(
        torch.from_numpy(audio), FFT, HOP, window=torch.hann_window(FFT), return_complex=True
    )
    power = torch.view_as_real(coloured(spectra, generator, filters)).square().sum(-1)
    leak = 10 ** -(0.5 + 3.5 * torch.rand(count, 1, 1, generator=generator))
    other = power.roll(1, dims=0) * leak
    root = (power + other).sqrt() + 1e-6
    moment = root[torch.arange(count), :, torch.randint(root.shape[-1], (count,), generator=generator)]
    strength = torch.einsum("nf,nft->nt", moment, root) / moment.square().sum(1, keepdim=True)
    mask = (moment[..., None] * strength[:, None] / root).clamp(max=1).square()
    mask = torch.where(torch.rand(count, 1, 1, generator=generator) < 0.5, mask, 1.0)
    own, leaked = ((mask * each).sum(1) for each in (power, other))
    wanted = torch.tensor([CLASSES.index(names[one]) for one in classes])
    one_hot = torch.nn.functional.one_hot(wanted, len(CLASSES)).float()
    by_class = one_hot[..., None] * own[:, None] + one_hot.roll(1, dims=0)[..., None] * leaked[:, None]
    return told(mask * (power + other), by_class, generator)


def told(heard: Tensor, by_class: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """From power (n, bins, frames) and each class's part of it (n, classes, frames) to what is learnt from.

    Returns:
        what the network sees (n, bands, frames), shares (n, classes, decisions) and weights (n, decisions).
    """
    pooled = sum_frames(by_class)
    total = pooled.sum(dim=1, keepdim=True)
    noise = 10 ** -(4 + 4 * torch.rand(len(heard), 1, 1, generator=generator)) * heard.amax(
        (1, 2), keepdim=True
    )
    seen = NormalisedMel().from_power(heard + noise * torch.rand(heard.shape, generator=generator))
    weight = (total[:, 0] / total[:, 0].amax(dim=-1, keepdim=True).clamp(min=1e-9)) ** 0.5
    return seen, pooled / total.clamp(min=1e-9), weight


def loss_of(network: Listener, seen: Tensor, shares: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy with the shares, above its least possible value (the Kullback-Leibler divergence)."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.class_logits(seen)
    log = torch.log_softmax(logits.float(), dim=1)
    divergence = (shares * (torch.log(shares.clamp(min=1e-6)) - log)).sum(dim=1)
    return (divergence * weight).sum() / weight.sum()


def main() -> None:
    """Train for some minutes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--soundfont", action="append", default=[], help="only these folders of the bank")
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--mixtures", type=int, default=6, help="in a step, each heard six times")
    parser.add_argument("--alone", type=float, default=0.2, help="part of the time for mostly solos")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--filters", type=float, default=4.5, help="how strong, dB")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path, default=None)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    random, generator = np.random.default_rng(args.seed), torch.Generator().manual_seed(args.seed)
    network = Listener(learning=True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if args.resume:
        from safetensors.torch import load_file

        network.load_state_dict(load_file(args.resume), strict=False)
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=args.lr, weight_decay=1e-2)
    average = {k: v.detach().clone() for k, v in network.state_dict().items()}
    bank = Bank(args.bank, tuple(args.soundfont))
    begun, step, running, saved = time.monotonic(), 0, 0.0, time.monotonic()
    while (done := (time.monotonic() - begun) / 60 / args.minutes) < 1:
        if step % 100 == 0:
            bank.refresh()
        for group in optimiser.param_groups:
            group["lr"] = args.lr * min(1.0, (step + 1) / 60) * (0.5 + 0.5 * np.cos(np.pi * done))
        # First what instruments sound like, then what is left of them in mixtures.
        alone, together = (52, 1) if done < args.alone else (18, args.mixtures)
        batch = zip(
            solos(bank, alone, random, generator, args.filters),
            examples(bank, together, random, generator, args.filters),
            strict=True,
        )
        seen, shares, weight = (torch.cat(both) for both in batch)
        loss = loss_of(network, seen, shares, weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        decay = min(0.998, (step + 1) / (step + 10))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                average[key].lerp_(value, 1 - decay)
            else:
                average[key].copy_(value)
        now = loss.item()
        running = now if step == 1 else 0.98 * running + 0.02 * now
        if step % 50 == 0:
            print(
                json.dumps(
                    {
                        "step": step,
                        "minutes": round(done * args.minutes, 1),
                        "loss": round(running, 4),
                        "files": len(bank.known),
                    }
                ),
                flush=True,
            )
        if time.monotonic() - saved > 120:
            save(average, args.out)
            saved = time.monotonic()
    save(average, args.out)


def save(state: dict[str, Tensor], path: Path) -> None:
    """Write the weights whole or not at all."""
    with write_atomically(path, force=True) as beside:
        save_file({k: v.contiguous() for k, v in state.items() if v.is_floating_point()}, beside)


if __name__ == "__main__":
    main()
