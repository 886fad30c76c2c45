"""Steps a second of the loop, ours against a plain transcription of the published one.

    python -m benchmarks.loop [--seconds 8] [--steps 5] [--threads N] [--device cpu]

Both at Jukebox's full level 0 with recipe weights, taggers fcn and musicnn (MagnaTagATune), FFT sizes 512,
1024 and 2048, and the same clip; each in a process of its own, as a user would start it, with its peak
memory. The losses of the first steps on a short clip stand beside: it is the same loop. Both begin alike; a
rate of 10 makes rounding grow from there.

A step needs so many operations at the least (see `benchmarks.work`): what comes out of them in a second
stands beside what the machine reaches in a matrix product of the same precision. Where bfloat16 is no faster
than float32, as on processors that have to emulate it, nobody would ask for it, and it is left out.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import published_loop, reports, work
from benchmarks.golden import recipe_weights
from benchmarks.taggers import tagger_of
from tagbox import audio
from tagbox.generators import jukebox, pretrained
from tagbox.generators.quantisers import make_quantiser
from tagbox.generators.vqvae import JUKEBOX
from tagbox.kernels import allocator, devices
from tagbox.kernels import threads as openmp
from tagbox.methods.latents import LatentMask
from tagbox.methods.steering import Step, steer
from tagbox.settings import Settings
from tagbox.taggers.tagger import Tagger

DTYPES = ("float32", "bfloat16")
WHO = ("published", *DTYPES)
SIZES = (512, 1024, 2048)
LR = 10.0
TAGGERS = ("fcn", "musicnn")
SHORT_SECONDS = 1.0
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"

Told = list[tuple[float, float]]
"""(loss, seconds by the clock) of each step."""


def clip(seconds: float) -> Tensor:
    """(samples,): whole frames of the coarsest level."""
    samples = round(seconds * 44_100) // 128 * 128
    return audio.read(EXAMPLE, 3, seconds).samples[0, :samples]


def taggers(device: str = "cpu") -> list[Tagger]:
    return [tagger_of(name, "mtat", device)[0] for name in TAGGERS]


def violin(tagger: Tagger, device: str = "cpu") -> Tensor:
    return torch.tensor([float(tag == "violin") for tag in tagger.tags], device=device)


def state_of(device: str) -> dict[str, Tensor]:
    """Recipe weights of all of Jukebox's autoencoders."""
    return {name: value.to(device) for name, value in recipe_weights(jukebox.expected_shapes()).items()}


def published(seconds: float, steps: int, device: str = "cpu") -> Told:
    """The plain transcription."""
    listeners = taggers(device)
    plain = [(t.frontend, published_loop.PLAIN[t.name](t.network), t.window) for t in listeners]
    mono = clip(seconds).to(device)
    wanted = [violin(t, device) for t in listeners]
    loop = published_loop.steps(state_of(device), mono, plain, wanted, SIZES, LR)
    return [(loss, time.perf_counter()) for loss, _ in islice(loop, steps)]


def ours(seconds: float, steps: int, dtype: torch.dtype, device: str = "cpu") -> Told:
    """The package's loop, with the published behaviour."""
    exact = pretrained.from_state_dict("jukebox", state_of(device), JUKEBOX, device, "recipe", jukebox.LICENCE)
    mono = clip(seconds).to(device)
    mono = mono / mono.abs().max()
    with torch.no_grad():
        mixture = exact.decode(exact.quantise(exact.encode(mono[None, None]))[1])[0, 0]
    generator = exact.to_precision(dtype)
    quantise = make_quantiser("published", generator, 0, 0)
    steerable = LatentMask(generator, mixture, 0, quantise, SIZES, "last", mono)
    listeners = [tagger.to_precision(dtype) for tagger in taggers(device)]
    told: Told = []

    def tell(step: Step) -> None:
        told.append((step.loss, time.perf_counter()))

    settings = Settings(objective="cross-entropy", steps=steps, lr=LR, padding="zeros", keep="last")
    targets = [violin(tagger, device)[None] for tagger in listeners]
    steer(steerable, listeners, targets, settings, tell)
    return told


def measure(who: str, seconds: float, steps: int, threads: int, device: str) -> dict[str, Any]:
    """In this process: first losses on a short clip, then the median time of a step on the long one."""
    if who != "published":
        allocator.keep_freed_memory()
    torch.set_num_threads(threads)

    def run(length: float, count: int) -> Told:
        if who == "published":
            return published(length, count, device)
        return ours(length, count, getattr(torch, who), device)

    short = [loss for loss, _ in run(SHORT_SECONDS, 3)] if seconds > SHORT_SECONDS else []
    began = time.process_time()
    told = run(seconds, steps + 1)
    cpu = (time.process_time() - began) / (steps + 1)
    times = [when for _, when in told]
    each = sorted(after - before for before, after in pairwise(times))
    if device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated() / 2**30
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    dtype = torch.bfloat16 if who == "bfloat16" else torch.float32
    return {
        "who": who,
        "losses": short or [loss for loss, _ in told],
        "step": each[len(each) // 2],
        "fastest": each[0],
        "cpu": cpu,
        "peak": peak,
        "operations": work.operations(seconds, TAGGERS, len(SIZES)),
        "bytes": work.traffic(seconds, dtype),
    }


def compare(seconds: float, steps: int, threads: int, device: str) -> dict[str, Any]:
    """One after the other, each in its own process, and what the machine can."""
    fast = devices.select_dtype("auto", torch.device(device)) == torch.bfloat16
    dtypes = DTYPES if fast else DTYPES[:1]
    results = []
    for who in ("published", *dtypes):
        own = [sys.executable, "-m", "benchmarks.loop", "--one", who, "--seconds", str(seconds)]
        own += ["--steps", str(steps), "--threads", str(threads), "--device", device]
        how = dict(os.environ)
        if who != "published":
            # Ours with what the program arranges as it starts, the published one with what everybody has.
            openmp.limit_spinning(how)
        out = subprocess.run(own, check=True, stdout=subprocess.PIPE, text=True, env=how).stdout
        results.append(json.loads(out.splitlines()[-1]))
    torch.set_num_threads(threads)
    size, count = (8192, 1 << 28) if device.startswith("cuda") else (2048, 1 << 25)
    peaks = {name: reports.peak_product(getattr(torch, name), device, size) for name in dtypes}
    weights = sorted({tagger_of(name, "mtat", "cpu")[1] for name in TAGGERS})
    return {
        "seconds": seconds,
        "threads": threads,
        "loops": results,
        "peaks": peaks,
        "bandwidth": reports.peak_bandwidth(device, count),
        "taggers": f"{' and '.join(TAGGERS)}, {' and '.join(weights)} weights",
    }


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    results = found["loops"]
    base = results[0]
    lines = [
        f"{found['seconds']:g} s of audio, {found['threads']} threads; taggers {found['taggers']}; a step is "
        f"{base['operations'] / 1e9:.0f} GFLOP at the least; matrix products: "
        + ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in found["peaks"].items())
        + f"; copies {found['bandwidth'] / 1e9:.0f} GB/s",
        "",
        "| loop | s a step | faster | CPU s a step | peak memory, GB | of it | GFLOP/s | of a product's | "
        "of the roofline | first losses |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        peak = found["peaks"]["bfloat16" if one["who"] == "bfloat16" else "float32"]
        rate = one["operations"] / one["step"]
        least = max(one["operations"] / peak, one["bytes"] / found["bandwidth"])
        losses = ", ".join(f"{loss:.5f}" for loss in one["losses"])
        lines.append(
            f"| {one['who']} | {one['step']:.3g} | {base['step'] / one['step']:.1f} x | {one['cpu']:.1f} | "
            f"{one['peak']:.2f} | {one['peak'] / base['peak']:.2f} | {rate / 1e9:.0f} | {rate / peak:.0%} | "
            f"{least / one['step']:.0%} | {losses} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", choices=WHO, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.seconds, args.steps, args.threads, args.device)))
        return
    print(reports.machine(args.device) + "\n")
    print(table(compare(args.seconds, args.steps, args.threads, args.device)))


if __name__ == "__main__":
    main()
