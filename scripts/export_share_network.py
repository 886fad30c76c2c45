#!/usr/bin/env python3
"""Write the averaged weights of a training of the share network as they ship: float16, norms folded in.

python -m scripts.export_share_network RUN.pt OUT.safetensors
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tagbox.taggers.networks.share_unet import folded


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round weights to float16.

    Raises:
        OverflowError: one is too large for it.
    """
    made = {key: value.half().contiguous() for key, value in state.items()}
    for key, value in made.items():
        if not bool(value.isfinite().all()):
            raise OverflowError(f"{key} has weights too large for float16")
    return made


def export(learnt: Mapping[str, Tensor], out: Path, about: dict[str, str] | None = None) -> None:
    """Write the weights of a network that was learning, whole or not at all."""
    beside = out.with_suffix(".part")
    save_file(halved(folded(learnt)), beside, about)
    beside.replace(out)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    export(torch.load(args.run, map_location="cpu", weights_only=True)["average"], args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
