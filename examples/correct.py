"""Separate a duet, say what is wrong with the result, and hear what that changes.

python examples/correct.py [FOLDER]
"""

import sys
from pathlib import Path

import tagbox
from tagbox.corrections import Absent, Is, IsNot

HERE = Path(__file__).resolve().parent


def main(folder: str = "out/corrected") -> None:
    """Correct the duet's violin, and write the result into `folder`."""
    project = tagbox.open(HERE / "duet" / "mixture.flac", duration=8)
    before = project.separate(["violin"]).sources["violin"]
    for correction in (
        Is("violin", 2.0, 4.0),  # the rest has something of the violin there
        IsNot("violin", 5.0, 6.0),  # something else is in the violin
        Absent("violin", 7.0),  # it does not play any more
    ):
        after = project.correct(correction).sources["violin"]
        changed = float((after - before).square().sum() / before.square().sum())
        print(f"{correction}: {100 * changed:.1f} % of the violin's energy has changed")
    project.undo()
    print("in force:", *project.history)
    project.save(folder, force=True)


if __name__ == "__main__":
    main(*sys.argv[1:2])
