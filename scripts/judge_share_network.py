#!/usr/bin/env python3
"""Judge weights of the share network on recordings whose sources are known.

    python -m scripts.judge_share_network RUN.pt DATA... [--stempeg] [--components 2] [--log FILE]

RUN.pt is a checkpoint, whose averaged weights are judged, or .safetensors. DATA is a folder in Slakh2100's
layout, or one of songs with mix, vocals_true and accompaniment_true. --stempeg adds the excerpt of MUSDB18
that the package stempeg carries. "alone" is the preset fast. With --components, the network's masks are also
multiplied with those of components of so many factorisations (2 is the default, 8 the preset best); the
components' estimates are computed once and kept. --ablate leaves parts out: the class prior, and what is
heard of the stereo image.

Printed for each set: mean and median of the SI-SDR improvement (dB, of the mean of the channels), the part
of the sources that come out worse than nothing, and two leaks, in dB and smaller is better: how much of the
source is left in the remainder, and how much of the others is in the estimate.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

import tagbox
from tagbox.audio import resample
from tagbox.evaluation.metrics import si_sdr
from tagbox.methods.share_masks import (
    apply_masks,
    masks_of,
    product_of_masks,
    raise_small_sources,
    source_shares,
)
from tagbox.taggers.networks.share_unet import GRID, RATE, ShareUNet, folded, power, shares
from tagbox.tags.vocabularies import RENDERED_CLASSES, members

TAGS = {
    "Drums": "drums", "Guitar": "guitar", "Piano": "piano", "Strings": "strings", "Bass": "bass",
    "Pipe": "flute", "Violin": "violin", "Flute": "flute", "Cello": "cello", "Harp": "harp",
    "Harpsichord": "harpsichord", "Choir": "choir", "Synth Lead": "synth", "Synth Pad": "synth",
    "Vocals": "vocals", "Brass": "brass", "Reed": "reed", "Organ": "organ",
}  # fmt: skip
"""The vocabulary's words for the datasets' classes."""

QUIETEST = 1e-3
"""A peak below which a source is left out."""


@dataclass(frozen=True)
class Recording:
    """A mixture whose sources are known.

    Attributes:
        data: the set that it belongs to.
        name: within the set.
        mixture: (channels, samples) at `RATE`.
        sources: by what they are asked for with, the same shape.
        remainder: of what is asked for, the remainder is judged too, under this name.
    """

    data: str
    name: str
    mixture: Tensor
    sources: dict[str, Tensor]
    remainder: tuple[str, str] | None = None


@dataclass(frozen=True)
class Measured:
    """How good an estimate is, all in dB.

    Attributes:
        improvement: of SI-SDR over the mixture.
        left: energy of the source in the remainder, against all of it.
        others: energy of the others in the estimate, against all of it.
    """

    improvement: float
    left: float
    others: float


def how_far(weights: Path) -> dict[str, float]:
    """Read after how many steps and minutes weights were kept, where they say so."""
    if weights.suffix == ".pt":
        progress: dict[str, float] = torch.load(weights, map_location="cpu", weights_only=True)["progress"]
        return progress
    with safe_open(weights, "pt") as file:
        about = file.metadata() or {}
    return {key: float(value) for key, value in about.items() if key in ("step", "minutes")}


def read(path: Path) -> Tensor:
    """Read (channels, samples) at `RATE`."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return resample(torch.from_numpy(audio.T.copy()), rate, RATE)


def tracks(folder: Path) -> Iterator[Recording]:
    """Read a folder in Slakh2100's layout; stems of one class are one source."""
    for track in sorted(folder.glob("Track*")):
        mixture = read(track / "mix.flac")
        described = yaml.safe_load((track / "metadata.yaml").read_text())["stems"]
        classes: dict[str, Tensor] = {}
        for stem, about in described.items():
            path = track / "stems" / f"{stem}.flac"
            if path.exists():
                kind = about["inst_class"]
                classes[kind] = classes.get(kind, torch.zeros(1)) + read(path)
        sources = {
            TAGS[kind]: source
            for kind, source in classes.items()
            if kind in TAGS and len(classes) > 1 and float(source.abs().max()) > QUIETEST
        }
        yield Recording(folder.name, track.name, mixture, sources)


def songs(folder: Path) -> Iterator[Recording]:
    """Read a folder of songs with their voice and accompaniment."""
    for song in sorted(path for path in folder.iterdir() if path.is_dir()):
        found = [read(next(song.glob(f"{name}.*"))) for name in ("mix", "vocals_true", "accompaniment_true")]
        length = min(one.shape[-1] for one in found)
        mixture, voice, rest = (one[..., :length] for one in found)
        yield Recording(
            folder.name, song.name, mixture, {"vocals": voice, "accompaniment": rest},
            ("vocals", "accompaniment"),
        )  # fmt: skip


def recordings_in(folder: Path, every: int = 1) -> list[Recording]:
    """Read every so many recordings of a folder in either layout."""
    return list(tracks(folder) if any(folder.glob("Track*")) else songs(folder))[::every]


def stempeg_excerpt() -> Recording:
    """Read the excerpt that stempeg carries."""
    import stempeg

    stems, rate = stempeg.read_stems(stempeg.example_stem_path())
    every = [resample(torch.from_numpy(one.T.astype(np.float32)), rate, RATE) for one in stems]
    mixture, drums, bass, _, vocals = every
    return Recording("stempeg", "excerpt", mixture, {"vocals": vocals, "drums": drums, "bass": bass})


def load(path: Path) -> ShareUNet:
    """Read the weights to be judged."""
    if path.suffix == ".safetensors":
        state = load_file(path)
    else:
        state = folded(torch.load(path, map_location="cpu", weights_only=True)["average"])
    network = ShareUNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.load_state_dict({key: value.float() for key, value in state.items()})
    return network.eval()


@torch.no_grad()
def estimates(
    network: ShareUNet,
    recording: Recording,
    by_components: Mapping[int, Callable[[str], Tensor]],
    ablate: bool = False,
) -> dict[str, dict[str, Tensor]]:
    """Separate by the network's shares as masks: by tag and by way, (channels, samples).

    Args:
        network: that is judged.
        recording: with its sources.
        by_components: by the number of factorisations, a tag to the estimate by components.
        ablate: also without the class prior, and with the two channels heard as their mean.
    """
    mixture = recording.mixture[None]
    heard = {"": shares(network, mixture)}
    if ablate and mixture.shape[1] == 2:
        heard[", mono"] = shares(network, mixture.mean(dim=1, keepdim=True))
    spectrum, samples = GRID.stft(mixture)[0], mixture.shape[-1]
    made: dict[str, dict[str, Tensor]] = {}
    for tag in recording.sources:
        if recording.remainder and tag == recording.remainder[1]:
            continue
        own = members(tag, "rendered")
        classes = torch.tensor([[float(name in own) for name in RENDERED_CLASSES]])
        masks: dict[str, Tensor] = {}
        for how, (answers, energy) in heard.items():
            plain = (classes @ answers[0].flatten(1)).reshape(1, *energy.shape[1:])
            divided = {
                f"network{how}": torch.cat([plain, 1 - plain]),
                f"network, prior{how}": source_shares(answers[0], energy[0], classes),
            }
            masks |= {way: GRID.over_bins(part, spectrum.shape[-1]) for way, part in divided.items()}
            masks[f"alone{how}"] = raise_small_sources(
                masks[f"network, prior{how}"], power(spectrum).sum(dim=0)
            )
        made[tag] = {way: apply_masks(mask[:1], spectrum, samples)[0] for way, mask in masks.items()}
        for factorisations, estimate in by_components.items():
            other = estimate(tag)
            made[tag][f"components {factorisations}"] = other
            used = {how: f"network, prior{how}" for how in heard}
            if ablate:
                used[", no prior"] = "network"
            for how, way in used.items():
                both = product_of_masks(
                    masks[way], masks_of(other[None], spectrum), power(spectrum).sum(dim=0)
                )
                estimated = apply_masks(both[:1], spectrum, samples)[0]
                made[tag][f"with components {factorisations}{how}"] = estimated
    return made


def by_components(recording: Recording, tag: str, factorisations: int, kept: Path) -> Tensor:
    """Separate with the preset components, or take what was kept of it."""
    words = f"{recording.data}/{recording.name}/{tag}/components-{factorisations}/{recording.mixture.shape}"
    path = kept / f"{hashlib.sha256(words.encode()).hexdigest()[:24]}.npy"
    if not path.exists():
        kept.mkdir(parents=True, exist_ok=True)
        found = tagbox.separate(
            recording.mixture.numpy(),
            RATE,
            [tag],
            preset="components",
            device="cpu",
            factorisations=factorisations,
        )
        np.save(path, np.asarray(found.sources[tag], dtype=np.float16))
    return torch.from_numpy(np.load(path).astype(np.float32))


def leaks(estimate: Tensor, source: Tensor, mixture: Tensor) -> tuple[float, float]:
    """Measure what is where it should not be, in windows of a second, as `Measured` says; (samples,) each."""
    count = max(1, estimate.shape[-1] // RATE)
    e, s, m = (one[: count * RATE].double().reshape(count, -1) for one in (estimate, source, mixture))
    n = m - s
    gram = torch.stack([torch.stack([(a * b).sum(1) for b in (s, n)], 1) for a in (s, n)], 1)
    gram = gram + 1e-9 * torch.eye(2) * gram.diagonal(dim1=1, dim2=2).sum(1)[:, None, None].clamp(min=1e-9)
    right = torch.stack([(s * e).sum(1), (n * e).sum(1)], 1)
    parts = torch.linalg.solve(gram, right)
    of_source, of_others = s.square().sum(1), n.square().sum(1)
    left = ((1 - parts[:, 0]).square() * of_source).sum() / of_source.sum().clamp(min=1e-9)
    others = (parts[:, 1].square() * of_others).sum() / of_others.sum().clamp(min=1e-9)
    return tuple(float(10 * torch.log10(one.clamp(min=1e-6))) for one in (left, others))  # type: ignore[return-value]


def measured(estimate: Tensor, source: Tensor, mixture: Tensor) -> Measured:
    """Measure an estimate on the mean of the channels; (channels, samples) each."""
    e, s, m = (one.mean(dim=0, keepdim=True) for one in (estimate, source, mixture))
    before = si_sdr(m, s)
    left, others = leaks(e[0], s[0], m[0])
    return Measured(si_sdr(e, s) - before, left, others)


def judged(
    network: ShareUNet, recording: Recording, components: Sequence[int], kept: Path, ablate: bool
) -> Iterator[tuple[str, str, Measured]]:
    """Measure every source of a recording by every way: (tag, way, measured)."""
    others = {n: partial(by_components, recording, factorisations=n, kept=kept) for n in components}
    for tag, ways in estimates(network, recording, others, ablate).items():
        for way, estimate in ways.items():
            yield tag, way, measured(estimate, recording.sources[tag], recording.mixture)
            if recording.remainder:
                name = recording.remainder[1]
                rest = recording.mixture - estimate
                yield name, way, measured(rest, recording.sources[name], recording.mixture)


def summary(rows: list[Measured]) -> dict[str, float]:
    """Sum up a set."""
    gains = np.array([row.improvement for row in rows])
    return {
        "cases": len(rows),
        "mean": round(float(gains.mean()), 2),
        "median": round(float(np.median(gains)), 2),
        "below_0": round(float((gains < 0).mean()), 3),
        "left": round(float(np.mean([row.left for row in rows])), 2),
        "others": round(float(np.mean([row.others for row in rows])), 2),
    }


def report(
    rows: Mapping[tuple[str, str], list[Measured]], about: Mapping[str, float], log: Path | None
) -> None:
    """Print a line for each set and way, and add it to the log.

    Args:
        rows: what was measured, by set and way.
        about: what the log says of all of them.
        log: none unless given.
    """
    for (data, way), own in rows.items():
        found = summary(own)
        print(
            f"{data:26s} {way:28s} mean {found['mean']:+6.2f} median {found['median']:+6.2f} below 0 "
            f"{found['below_0']:4.0%}  left {found['left']:6.1f}  others {found['others']:6.1f}  "
            f"({found['cases']})",
            flush=True,
        )
        if log:
            with log.open("a") as file:
                file.write(json.dumps({**about, "data": data, "way": way, **found}) + "\n")


def main() -> None:
    """Judge, print, and add to the log."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("data", type=Path, nargs="*")
    parser.add_argument("--stempeg", action="store_true")
    parser.add_argument("--components", type=int, nargs="*", default=[])
    parser.add_argument("--kept", type=Path, default=Path("kept-estimates"))
    parser.add_argument("--ablate", action="store_true", help="also without prior, and with mono input")
    parser.add_argument("--every", type=int, default=1, help="take only every so many recordings of a set")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--log", type=Path, default=None)
    parser.add_argument("--each", action="store_true", help="print every case")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    network = load(args.weights)
    progress = how_far(args.weights)
    recordings = [one for folder in args.data for one in recordings_in(folder, args.every)]
    if args.stempeg:
        recordings.append(stempeg_excerpt())
    rows: dict[tuple[str, str], list[Measured]] = {}
    for recording in recordings:
        alone = recording.data in ("stempeg", "songs")
        for tag, way, one in judged(network, recording, args.components, args.kept, args.ablate):
            rows.setdefault((f"{recording.data}: {tag}" if alone else recording.data, way), []).append(one)
            if args.each:
                print(f"{recording.name} {tag} {way} {one}", flush=True)
    report(rows, progress, args.log)


if __name__ == "__main__":
    main()
