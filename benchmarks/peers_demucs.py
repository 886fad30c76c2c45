"""Run Demucs's own command in Demucs's own environment, with random weights where its own cannot be fetched.

`benchmarks.peers` starts this with that environment's Python, where TagBox is not installed:

    python peers_demucs.py check            prints "own" or "random"
    python peers_demucs.py own ARGUMENTS    python -m demucs ARGUMENTS
    python peers_demucs.py random ARGUMENTS the same with random weights

How long a network computes does not depend on its weights.
"""

import sys
from fractions import Fraction
from typing import Any

from demucs import api, pretrained, separate
from demucs.htdemucs import HTDemucs

SOURCES = ("drums", "bass", "other", "vocals")
BOTTOM_CHANNELS = 512
DCONV_MODE = 3
"""With these, the network has the 42 million parameters of the published htdemucs, whose file holds 84 MB of
16-bit numbers."""
SEGMENT = Fraction(39, 5)
"""Of the published model, s."""


def make_model(*_: Any, **__: Any) -> HTDemucs:
    """Make an htdemucs with random weights."""
    model = HTDemucs(list(SOURCES), bottom_channels=BOTTOM_CHANNELS, dconv_mode=DCONV_MODE, segment=SEGMENT)
    return model.eval()


def main() -> None:
    """Do as the arguments say."""
    mode, *arguments = sys.argv[1:]
    if mode == "check":
        try:
            pretrained.get_model("htdemucs")
        except Exception as error:
            print(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", file=sys.stderr)
            print("random")
        else:
            print("own")
        return
    if mode == "random":
        api.get_model = make_model
    separate.main(arguments)


if __name__ == "__main__":
    main()
