"""Offer values to the shell. It calls these functions at every press of the Tab key, so they load little."""

from collections.abc import Iterable, Iterator
from pathlib import Path

OBJECTIVES = (
    "cross-entropy",
    "cross-entropy-ascent",
    "target-tags",
    "target-logits",
    "two-sided",
    "joint",
)
"""The names in `tagbox.methods.objectives`, readable without PyTorch."""


def tags(incomplete: str) -> list[str]:
    """Complete the last word of a query: "violin+cel" to "violin+cello"."""
    from tagbox.tags.query import UNION
    from tagbox.tags.resolve import short_name
    from tagbox.tags.synonyms import TAG_GROUPS
    from tagbox.tags.vocabularies import TAGS

    before, union, last = incomplete.rpartition(UNION)
    words = {group.name for group in TAG_GROUPS}
    words.update(short_name(tag) for vocabulary in TAGS.values() for tag in vocabulary)
    return [f"{before}{union}{word}" for word in _matching(sorted(words), last)]


def presets(incomplete: str) -> list[tuple[str, str]]:
    """Complete the name of a preset, with what it is for."""
    from tagbox.presets import PRESETS

    return [(name, PRESETS[name].help) for name in _matching(PRESETS, incomplete)]


def transfer_presets(incomplete: str) -> list[tuple[str, str]]:
    """Complete the name of a preset that steers a generator."""
    from tagbox.presets import PRESETS

    names = [name for name, preset in PRESETS.items() if preset.settings.steer == "latents"]
    return [(name, PRESETS[name].help) for name in _matching(names, incomplete)]


def taggers(incomplete: str) -> list[str]:
    """Complete a tagger's data/architecture, or its architecture."""
    from tagbox.weights import catalogue

    known = catalogue.taggers()
    names = [model.identifier for model in known] + [model.name for model in known]
    return list(_matching(dict.fromkeys(names), incomplete))


def models(incomplete: str) -> list[str]:
    """Complete the name of any model."""
    from tagbox.weights import catalogue

    return list(_matching((model.identifier for model in catalogue.models()), incomplete))


def data(incomplete: str) -> list[str]:
    """Complete the name of a vocabulary."""
    from tagbox.tags.vocabularies import TAGS

    return list(_matching(TAGS, incomplete))


def generators(incomplete: str) -> list[str]:
    """Complete the name of a generator, or the path of a weights file."""
    from tagbox.weights import catalogue

    names = [model.name for model in catalogue.generators()]
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    files = sorted(map(str, folder.glob("*.safetensors")))
    return list(_matching([*names, *files], incomplete))


def objectives(incomplete: str) -> list[str]:
    """Complete the name of a loss."""
    return list(_matching(OBJECTIVES, incomplete))


def engines(incomplete: str) -> list[str]:
    """Complete the name of an engine."""
    from tagbox.parallel.engine import ENGINES

    return list(_matching(ENGINES, incomplete))


def devices(incomplete: str) -> list[str]:
    """Complete the name of a device."""
    from tagbox.settings import DEVICES

    return list(_matching(DEVICES, incomplete))


def _matching(words: Iterable[str], incomplete: str) -> Iterator[str]:
    return (word for word in words if word.casefold().startswith(incomplete.casefold()))
