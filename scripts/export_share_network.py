#!/usr/bin/env python3
"""Write the averaged weights of a training of the share network as they ship: float16, norms folded in.

python -m scripts.export_share_network RUN.pt OUT.safetensors
"""

import argparse
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


def main() -> None:
    """Write the file, whole or not at all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    state = folded(torch.load(args.run, map_location="cpu", weights_only=True)["average"])
    beside = args.out.with_suffix(".part")
    save_file(halved(state), beside)
    beside.replace(args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
