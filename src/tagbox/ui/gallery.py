"""Examples that run with one click, where the recordings are: in the repository, not in the wheel."""

from dataclasses import dataclass
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@dataclass(frozen=True)
class Example:
    """A recording of the repository and the words to ask for."""

    title: str
    path: Path
    words: tuple[str, ...]


def separations(folder: Path = EXAMPLES) -> list[Example]:
    """Examples of separation, those that are there."""
    return _there(
        Example("Duet: take out the violin", folder / "duet" / "mixture.flac", ("violin",)),
        Example("Duet: violin and piano", folder / "duet" / "mixture.flac", ("violin", "piano")),
        Example("Band: take out the drums", folder / "band" / "mixture.flac", ("drums",)),
        Example("Song: take out the voices", folder / "song" / "mixture.flac", ("vocals",)),
    )


def transfers(folder: Path = EXAMPLES) -> list[Example]:
    """Examples of style transfer, those that are there."""
    return _there(Example("Duet towards guitar", folder / "duet" / "mixture.flac", ("guitar",)))


def _there(*examples: Example) -> list[Example]:
    return [example for example in examples if example.path.is_file()]
