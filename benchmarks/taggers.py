"""Measure how long the taggers take for 10 s of audio.

    python -m benchmarks.taggers [--data mtat] [--seconds 10] [--device cpu] [NAME...]

Times the forward pass from the waveform (windows, front end, network), and the forward and backward pass to
the gradient of the waveform, which a step of the loop needs. Weights are real where they are at hand (in the
package, in the cache, or in `shared/` beside the checkout), else random: the time does not depend on them.
"""

import argparse
from functools import partial

import torch
from torch import Tensor

from benchmarks import reports
from benchmarks.golden import SHARED
from benchmarks.parity import published_tagger, recipe_tagger
from tagbox.errors import TagBoxError
from tagbox.models import load_tagger
from tagbox.taggers import registry
from tagbox.taggers.tagger import Tagger

RATE = 16000


def load_or_draw_tagger(name: str, data: str, device: str) -> tuple[Tagger, str]:
    """Return a tagger, and whether its weights are "real" or "random"."""
    try:
        return load_tagger(name, data, device), "real"
    except TagBoxError:
        pass
    if (SHARED / "weights" / data / f"{name}.pth").is_file():
        return published_tagger(SHARED, data, name).to(device), "real"
    return recipe_tagger(name, data).to(device), "random"


def forward(tagger: Tagger, audio: Tensor) -> Tensor:
    """Predict logits for `audio` (1, samples)."""
    with torch.no_grad():
        return tagger.logits(audio)


def forward_backward(tagger: Tagger, audio: Tensor) -> Tensor:
    """Compute the gradient of the logits' sum with respect to `audio` (1, samples)."""
    leaf = audio.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(tagger.logits(leaf).sum(), leaf)
    return gradient


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="mtat", choices=("mtat", "jamendo", "msd"))
    parser.add_argument("--seconds", type=float, default=10.0, help="of audio")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("names", nargs="*", help="taggers (default: all)")
    args = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    audio = 0.1 * torch.randn(1, round(args.seconds * RATE), generator=generator)
    audio = audio.to(args.device)
    print(f"{args.seconds:g} s of audio; {reports.machine(args.device)}; best of {args.repeats}\n")
    print("| tagger | weights | windows | forward, s | forward and backward, s |")
    print("|---|---|---|---|---|")
    measure = partial(reports.shortest_time, device=args.device, repeats=args.repeats, warm_up=1)
    for name in args.names or registry.ARCHITECTURES:
        tagger, weights = load_or_draw_tagger(name, args.data, args.device)
        windows = forward(tagger, audio).shape[1]
        forward_time = measure(partial(forward, tagger, audio))
        both_time = measure(partial(forward_backward, tagger, audio))
        length = tagger.window / tagger.rate
        times = f"{forward_time:.3f} | {both_time:.3f}"
        print(f"| {args.data}/{name} | {weights} | {windows} x {length:.1f} s | {times} |", flush=True)


if __name__ == "__main__":
    main()
