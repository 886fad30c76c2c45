"""Separate by a sentence, with a small CLAP of random weights: the path is real, the answer means nothing.

    python -m examples.separate_by_sentence "a distant horn"

A CLAP that was trained is used in the same way, by its name: see docs/tags.md.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from examples.small_clap import save_small_clap
from transformers.utils import logging

import tagbox
from tagbox import audio

HERE = Path(__file__).resolve().parent
SENTENCE = "a violin that is played far away"


def main(sentence: str = SENTENCE, seconds: float = 6.0) -> None:
    """Separate what `sentence` names from the beginning of the duet, and print what was heard."""
    duet = audio.read(HERE / "duet" / "mixture.flac", 0, seconds)
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HF_HOME=home, HF_HUB_OFFLINE="1")
        # A model at an address is known by the class that its config.json names, ClapModel.
        quiet: Any = logging.disable_progress_bar
        quiet()
        address = save_small_clap(Path(home) / "hub")
        result = tagbox.separate(
            duet.samples,
            duet.rate,
            sentence,
            steer="gates",
            factorisations=1,
            taggers=(address,),
            without=["reverb"],
        )
    words = len(result.manifest["taggers"][0]["words"])
    (heard,) = result.manifest["probabilities"]["mixture"].values()
    print(f"{sentence}: {heard[sentence]:.0%} of the recording, against {words - 1} other texts")
    level = float(result.sources[sentence].square().mean() / duet.samples.square().mean())
    print(f"the estimate has {level:.0%} of the energy")
    print("The weights are random, so this means nothing; it shows that a sentence arrives.")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or SENTENCE)
