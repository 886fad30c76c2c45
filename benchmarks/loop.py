"""Measure the time of a step of the loop, ours against a plain transcription of the published one.

    python -m benchmarks.loop [--seconds 8] [--steps 5] [--threads N] [--device cpu]

Both run at Jukebox's full level 0 with recipe weights, with the taggers fcn and musicnn (MagnaTagATune), the
FFT sizes 512, 1024 and 2048, and the same clip, each in a process of its own. The table also has the peak
memory of each process, and the losses of the first steps on a short clip, which show that the loops are the
same. They agree at first; a learning rate of 10 makes rounding errors grow.

The operations that a step needs at least (see `benchmarks.work`), per second, are compared with those of a
matrix product in the same precision. Where bfloat16 is no faster than float32, as on processors that emulate
it, nobody would use it, and it is left out.
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
from benchmarks.taggers import load_or_draw_tagger
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
LOOPS = ("published", *DTYPES)
FFT_SIZES = (512, 1024, 2048)
LEARNING_RATE = 10.0
RATE = 44_100
COARSEST_HOP = 128
"""Hop length of Jukebox's coarsest level, samples."""
SHORT_STEPS = 3
TAGGERS = ("fcn", "musicnn")
SHORT_SECONDS = 1.0
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"

StepTimes = list[tuple[float, float]]
"""The loss of each step, and the time at its end (s)."""


def clip(seconds: float) -> Tensor:
    """Read the beginning of the example, (samples,), cut to whole frames of the coarsest level."""
    samples = round(seconds * RATE) // COARSEST_HOP * COARSEST_HOP
    return audio.read(EXAMPLE, 3, seconds).samples[0, :samples]


def load_taggers(device: str = "cpu") -> list[Tagger]:
    """Return the taggers in the loop."""
    return [load_or_draw_tagger(name, "mtat", device)[0] for name in TAGGERS]


def violin_target(tagger: Tagger, device: str = "cpu") -> Tensor:
    """Return the tag "violin" as a target, multi-hot (tags,)."""
    return torch.tensor([float(tag == "violin") for tag in tagger.tags], device=device)


def draw_jukebox_weights(device: str) -> dict[str, Tensor]:
    """Draw recipe weights of all of Jukebox's autoencoders."""
    return {name: value.to(device) for name, value in recipe_weights(jukebox.expected_shapes()).items()}


def run_published_loop(seconds: float, steps: int, device: str = "cpu") -> StepTimes:
    """Run the plain transcription of the published loop."""
    taggers = load_taggers(device)
    plain = [(t.frontend, published_loop.PLAIN[t.name](t.network), t.window) for t in taggers]
    mono = clip(seconds).to(device)
    targets = [violin_target(t, device) for t in taggers]
    loop = published_loop.steps(draw_jukebox_weights(device), mono, plain, targets, FFT_SIZES, LEARNING_RATE)
    return [(loss, time.perf_counter()) for loss, _ in islice(loop, steps)]


def run_our_loop(seconds: float, steps: int, dtype: torch.dtype, device: str = "cpu") -> StepTimes:
    """Run the package's loop with the settings of the published one."""
    exact = pretrained.from_state_dict(
        "jukebox", draw_jukebox_weights(device), JUKEBOX, device, "recipe", jukebox.LICENCE
    )
    mono = clip(seconds).to(device)
    mono = mono / mono.abs().max()
    with torch.no_grad():
        mixture = exact.decode(exact.quantise(exact.encode(mono[None, None]))[1])[0, 0]
    generator = exact.to_precision(dtype)
    quantise = make_quantiser("published", generator, 0, 0)
    steerable = LatentMask(generator, mixture, 0, quantise, FFT_SIZES, "last", mono)
    taggers = [tagger.to_precision(dtype) for tagger in load_taggers(device)]
    step_times: StepTimes = []

    def record_step(step: Step) -> None:
        step_times.append((step.loss, time.perf_counter()))

    settings = Settings(
        objective="cross-entropy", steps=steps, lr=LEARNING_RATE, padding="zeros", keep="last"
    )
    targets = [violin_target(tagger, device)[None] for tagger in taggers]
    steer(steerable, taggers, targets, settings, record_step)
    return step_times


def run_loop(loop: str, seconds: float, steps: int, device: str) -> StepTimes:
    """Run the published loop, or ours in the precision that `loop` names."""
    if loop == "published":
        return run_published_loop(seconds, steps, device)
    return run_our_loop(seconds, steps, getattr(torch, loop), device)


def measure(loop: str, seconds: float, steps: int, threads: int, device: str) -> dict[str, Any]:
    """Measure a loop in this process: first losses on a short clip, times of a step on the long one."""
    if loop != "published":
        allocator.keep_freed_memory()
    torch.set_num_threads(threads)
    short = run_loop(loop, SHORT_SECONDS, SHORT_STEPS, device) if seconds > SHORT_SECONDS else []
    begin = time.process_time()
    # The first step is not timed.
    long = run_loop(loop, seconds, steps + 1, device)
    cpu = (time.process_time() - begin) / (steps + 1)
    step_seconds = sorted(after - before for (_, before), (_, after) in pairwise(long))
    if device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated() / 2**30
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    dtype = torch.bfloat16 if loop == "bfloat16" else torch.float32
    return {
        "who": loop,
        "losses": [loss for loss, _ in short or long],
        "step": step_seconds[len(step_seconds) // 2],
        "fastest": step_seconds[0],
        "cpu": cpu,
        "peak": peak,
        "operations": work.count_operations(seconds, TAGGERS, len(FFT_SIZES)),
        "bytes": work.count_traffic(seconds, dtype),
    }


def compare(seconds: float, steps: int, threads: int, device: str) -> dict[str, Any]:
    """Measure all loops one after the other, each in its own process, and the machine's peak rates."""
    fast = devices.select_dtype("auto", torch.device(device)) == torch.bfloat16
    dtypes = DTYPES if fast else DTYPES[:1]
    results = []
    for loop in ("published", *dtypes):
        command = [sys.executable, "-m", "benchmarks.loop", "--one", loop, "--seconds", str(seconds)]
        command += ["--steps", str(steps), "--threads", str(threads), "--device", device]
        environment = dict(os.environ)
        if loop != "published":
            # The program sets this when it starts; the published loop has the default.
            openmp.limit_spinning(environment)
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
        results.append(json.loads(out.splitlines()[-1]))
    torch.set_num_threads(threads)
    size, count = (8192, 1 << 28) if device.startswith("cuda") else (2048, 1 << 25)
    peaks = {name: reports.peak_product(getattr(torch, name), device, size) for name in dtypes}
    weights = sorted({load_or_draw_tagger(name, "mtat", "cpu")[1] for name in TAGGERS})
    return {
        "seconds": seconds,
        "threads": threads,
        "loops": results,
        "peaks": peaks,
        "bandwidth": reports.peak_bandwidth(device, count),
        "taggers": f"{' and '.join(TAGGERS)}, {' and '.join(weights)} weights",
    }


def table(figures: dict[str, Any]) -> str:
    """Return a Markdown table."""
    loops = figures["loops"]
    base = loops[0]
    lines = [
        f"{figures['seconds']:g} s of audio, {figures['threads']} threads; taggers {figures['taggers']}; "
        f"a step is {base['operations'] / 1e9:.0f} GFLOP at the least; matrix products: "
        + ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in figures["peaks"].items())
        + f"; copies {figures['bandwidth'] / 1e9:.0f} GB/s",
        "",
        "| loop | s a step | faster | CPU s a step | peak memory, GB | of it | GFLOP/s | of a product's | "
        "of the roofline | first losses |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in loops:
        peak = figures["peaks"]["bfloat16" if row["who"] == "bfloat16" else "float32"]
        rate = row["operations"] / row["step"]
        least = max(row["operations"] / peak, row["bytes"] / figures["bandwidth"])
        losses = ", ".join(f"{loss:.5f}" for loss in row["losses"])
        lines.append(
            f"| {row['who']} | {row['step']:.3g} | {base['step'] / row['step']:.1f} x | {row['cpu']:.1f} | "
            f"{row['peak']:.2f} | {row['peak'] / base['peak']:.2f} | {rate / 1e9:.0f} | {rate / peak:.0%} | "
            f"{least / row['step']:.0%} | {losses} |"
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
    parser.add_argument("--one", choices=LOOPS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.seconds, args.steps, args.threads, args.device)))
        return
    print(reports.machine(args.device) + "\n")
    print(table(compare(args.seconds, args.steps, args.threads, args.device)))


if __name__ == "__main__":
    main()
