"""How long the taggers take for 10 s of audio: `python -m benchmarks.taggers`.

Times the whole way from the waveform: windows, front end, network; then the same and back to a gradient of
the waveform, which is what a step of steering costs. Real weights where they are at hand (in the package, in
the cache, or in `shared/` beside the checkout), else random ones: the time does not depend on their values.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.golden import SHARED
from benchmarks.parity import published_tagger, recipe_tagger
from tagbox import models
from tagbox.errors import TagBoxError
from tagbox.taggers import registry
from tagbox.taggers.tagger import Tagger

RATE = 16000


def best_of(times: int, run: Callable[[], object]) -> float:
    """The shortest of several runs in seconds, after one to warm up: others' work only ever adds."""
    run()
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begin)
    return min(taken)


def tagger_of(name: str, data: str, device: str) -> tuple[Tagger, str]:
    """A tagger and where its weights come from."""
    try:
        return models.load_tagger(name, data, device), "real"
    except TagBoxError:
        pass
    if (SHARED / "weights" / data / f"{name}.pth").is_file():
        return published_tagger(SHARED, data, name).to(device), "real"
    return recipe_tagger(name, data).to(device), "random"


def forward(tagger: Tagger, audio: Tensor) -> Tensor:
    with torch.no_grad():
        logits = tagger.logits(audio)
    _finish(audio)
    return logits


def forward_backward(tagger: Tagger, audio: Tensor) -> Tensor:
    heard = audio.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(tagger.logits(heard).sum(), heard)
    _finish(audio)
    return gradient


def _finish(audio: Tensor) -> None:
    if audio.is_cuda:
        torch.cuda.synchronize()


def machine(device: str) -> str:
    """The machine in words."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        named = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = named[0].split(":", 1)[1].strip() if named else cpu
    where = (
        torch.cuda.get_device_name() if device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    )
    return f"{cpu}, {os.cpu_count()} cores; {where}; PyTorch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mtat", choices=("mtat", "jamendo", "msd"))
    parser.add_argument("--seconds", type=float, default=10.0, help="of audio")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("names", nargs="*", help="taggers (default: all)")
    chosen = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    audio = 0.1 * torch.randn(1, round(chosen.seconds * RATE), generator=generator)
    audio = audio.to(chosen.device)
    print(f"{chosen.seconds:g} s of audio; {machine(chosen.device)}; best of {chosen.repeats}\n")
    print("| tagger | weights | windows | forward, s | forward and backward, s |")
    print("|---|---|---|---|---|")
    for name in chosen.names or registry.ARCHITECTURES:
        tagger, weights = tagger_of(name, chosen.data, chosen.device)
        windows = forward(tagger, audio).shape[1]
        there = best_of(chosen.repeats, partial(forward, tagger, audio))
        back = best_of(chosen.repeats, partial(forward_backward, tagger, audio))
        length = tagger.window / tagger.rate
        print(
            f"| {chosen.data}/{name} | {weights} | {windows} x {length:.1f} s | {there:.3f} | {back:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
