"""Run Demucs's own command in Demucs's own environment, with random weights where its own cannot be fetched.

`benchmarks.peers` starts this with that environment's Python, where TagBox is not installed:

    python peers_demucs.py check            prints "own" or "random"
    python peers_demucs.py own ARGUMENTS    python -m demucs ARGUMENTS
    python peers_demucs.py random ARGUMENTS the same with random weights
    python peers_demucs.py narrow ARGUMENTS the same with a network of few channels

How long a network computes does not depend on its weights. A narrow one computes a long recording in minutes,
and what the program holds of the recording is the same.
"""

import sys
from fractions import Fraction

from demucs import api, pretrained, separate
from demucs.htdemucs import HTDemucs

SOURCES = ("drums", "bass", "other", "vocals")
BOTTOM_CHANNELS = 512
DCONV_MODE = 3
"""With these, the network has the 42 million parameters of the published htdemucs, whose file holds 84 MB of
16-bit numbers."""
SEGMENT = Fraction(39, 5)
"""Of the published model, s."""
WIDTHS: dict[str, dict[str, int]] = {
    "random": {"bottom_channels": BOTTOM_CHANNELS, "dconv_mode": DCONV_MODE},
    "narrow": {"channels": 4, "t_layers": 1, "t_heads": 1, "dconv_mode": 0},
}
"""Arguments of the network by the first argument of this program."""


def make_model(width: str) -> HTDemucs:
    """Make an htdemucs with random weights."""
    return HTDemucs(list(SOURCES), segment=SEGMENT, **WIDTHS[width]).eval()


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
    if mode in WIDTHS:
        api.get_model = lambda *_, **__: make_model(mode)
    separate.main(arguments)


if __name__ == "__main__":
    main()
