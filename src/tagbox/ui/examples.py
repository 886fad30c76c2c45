"""Recordings that the page offers as one-click examples: they are in the repository, not in the wheel."""

from dataclasses import dataclass
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@dataclass(frozen=True)
class PageExample:
    """A recording of the repository and the words to separate.

    Attributes:
        title: text of its button.
        path: of the recording.
        words: as if they had been typed into the page.
    """

    title: str
    path: Path
    words: tuple[str, ...]


def separation_examples(folder: Path = EXAMPLES) -> tuple[PageExample, ...]:
    """Return the examples of separation whose recordings exist in `folder`."""
    return _existing(
        PageExample("Duet: separate the violin", folder / "duet" / "mixture.flac", ("violin",)),
        PageExample("Real song: separate the vocals", folder / "real" / "mixture.flac", ("vocals",)),
        PageExample("Duet: separate violin and piano", folder / "duet" / "mixture.flac", ("violin", "piano")),
        PageExample("Band: separate the drums", folder / "band" / "mixture.flac", ("drums",)),
        PageExample("Hymn: separate the choir", folder / "song" / "mixture.flac", ("vocals",)),
    )


def transfer_examples(folder: Path = EXAMPLES) -> tuple[PageExample, ...]:
    """Return the examples of style transfer whose recordings exist in `folder`."""
    return _existing(PageExample("Duet towards guitar", folder / "duet" / "mixture.flac", ("guitar",)))


def _existing(*examples: PageExample) -> tuple[PageExample, ...]:
    return tuple(example for example in examples if example.path.is_file())
