"""Steps a second of the loop, ours against a plain transcription of the published one.

    python -m benchmarks.loop [--seconds 8] [--steps 5]

Both at Jukebox's full level 0 with recipe weights, taggers fcn and musicnn (MagnaTagATune), FFT sizes 512,
1024 and 2048, and the same clip; each in a process of its own, as a user would start it, with its peak
memory. The losses of the first steps on a short clip stand beside: it is the same loop.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from tests.conftest import recipe_weights
from torch import Tensor

from benchmarks import published_loop
from benchmarks.taggers import tagger_of
from tagbox import audio, memory, objectives
from tagbox.generator import jukebox, trained
from tagbox.generator.quantisers import quantiser
from tagbox.generator.vqvae import JUKEBOX
from tagbox.loop import LoopSettings, Step, steer
from tagbox.steerables.latents import MaskedLatents
from tagbox.taggers.tagger import Tagger

WHO = ("published", "float32", "bfloat16")
SIZES = (512, 1024, 2048)
LR = 10.0
SHORT_SECONDS = 1.0
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"

Told = list[tuple[float, float]]
"""(loss, seconds by the clock) of each step."""


def clip(seconds: float) -> Tensor:
    """(samples,): whole frames of the coarsest level."""
    samples = round(seconds * 44_100) // 128 * 128
    return audio.read(EXAMPLE, 3, seconds).samples[0, :samples]


def taggers() -> list[Tagger]:
    return [tagger_of(name, "mtat", "cpu")[0] for name in ("fcn", "musicnn")]


def violin(tagger: Tagger) -> Tensor:
    return torch.tensor([float(tag == "violin") for tag in tagger.tags])


def published(seconds: float, steps: int) -> Told:
    """The plain transcription."""
    listeners = taggers()
    plain = [(t.frontend, published_loop.PLAIN[t.name](t.network), t.window) for t in listeners]
    state = recipe_weights(jukebox.expected_shapes())
    loop = published_loop.steps(state, clip(seconds), plain, [violin(t) for t in listeners], SIZES, LR)
    return [(loss, time.perf_counter()) for loss, _ in islice(loop, steps)]


def ours(seconds: float, steps: int, dtype: torch.dtype) -> Told:
    """The package's loop, with the published behaviour."""
    state = recipe_weights(jukebox.expected_shapes())
    exact = trained.assemble("jukebox", state, JUKEBOX, "cpu", "recipe", jukebox.LICENCE)
    mono = clip(seconds)
    mono = mono / mono.abs().max()
    with torch.no_grad():
        mixture = exact.decode(exact.quantise(exact.encode(mono[None, None]))[1])[0, 0]
    generator = exact.lowered(dtype)
    quantise = quantiser("published", generator, 0, 0)
    steerable = MaskedLatents(generator, mixture, 0, quantise, SIZES, "last", mono)
    listeners = [tagger.lowered(dtype) for tagger in taggers()]
    told: Told = []

    def tell(step: Step) -> None:
        told.append((step.loss, time.perf_counter()))

    settings = LoopSettings(steps, LR, padding="zeros", keep="last")
    targets = [violin(tagger)[None] for tagger in listeners]
    steer(steerable, listeners, targets, objectives.find("cross-entropy"), settings, tell)
    return told


def measure(who: str, seconds: float, steps: int) -> dict[str, Any]:
    """In this process: first losses on a short clip, then the median time of a step on the long one."""
    if who != "published":
        memory.keep()
    torch.set_num_threads(os.cpu_count() or 1)

    def run(length: float, count: int) -> Told:
        return published(length, count) if who == "published" else ours(length, count, getattr(torch, who))

    short = [loss for loss, _ in run(SHORT_SECONDS, 3)]
    times = [when for _, when in run(seconds, steps + 1)]
    each = sorted(after - before for before, after in pairwise(times))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"who": who, "losses": short, "step": each[len(each) // 2], "peak": peak}


def main() -> None:
    """Measure all three, one after the other, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--one", choices=WHO, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.seconds, args.steps)))
        return
    results = []
    for who in WHO:
        own = [sys.executable, "-m", "benchmarks.loop", "--one", who]
        own += ["--seconds", str(args.seconds), "--steps", str(args.steps)]
        out = subprocess.run(own, check=True, capture_output=True, text=True).stdout
        results.append(json.loads(out.splitlines()[-1]))
    base = results[0]
    print(
        f"{args.seconds:g} s of audio, median of {args.steps} steps; {platform.machine()}, "
        f"{os.cpu_count()} cores, PyTorch {torch.__version__}\n"
    )
    print("| loop | s a step | faster | peak memory, GB | of it | first losses |\n|---|---|---|---|---|---|")
    for one in results:
        losses = ", ".join(f"{loss:.5f}" for loss in one["losses"])
        print(
            f"| {one['who']} | {one['step']:.2f} | {base['step'] / one['step']:.1f} x | {one['peak']:.2f} | "
            f"{one['peak'] / base['peak']:.2f} | {losses} |"
        )


if __name__ == "__main__":
    main()
