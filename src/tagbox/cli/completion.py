"""What the shell offers where a value begins. It runs at every press of the Tab key, so it stays light."""

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
"""`tagbox.methods.objectives.OBJECTIVES` by name, without PyTorch."""


def tags(incomplete: str) -> list[str]:
    """Words for --tags; the last of "violin+cel" is completed."""
    from tagbox.tags.resolve import short
    from tagbox.tags.synonyms import PRESETS
    from tagbox.tags.vocabularies import TAGS

    before, plus, last = incomplete.rpartition("+")
    words = {preset.name for preset in PRESETS} | {short(tag) for known in TAGS.values() for tag in known}
    return [f"{before}{plus}{word}" for word in _beginning(sorted(words), last)]


def presets(incomplete: str) -> list[tuple[str, str]]:
    """Presets, with what each is for."""
    from tagbox.presets import PRESETS

    return [(name, PRESETS[name].help) for name in _beginning(PRESETS, incomplete)]


def transfer_presets(incomplete: str) -> list[tuple[str, str]]:
    """Presets that steer a generator."""
    from tagbox.presets import PRESETS

    steering = [name for name, preset in PRESETS.items() if preset.settings.steer == "latents"]
    return [(name, PRESETS[name].help) for name in _beginning(steering, incomplete)]


def taggers(incomplete: str) -> list[str]:
    """Taggers as data/architecture, and architectures alone."""
    from tagbox.weights.catalogue import MODELS

    known = [model for model in MODELS if model.kind == "tagger"]
    names = [model.identifier for model in known] + [model.name for model in known]
    return list(_beginning(dict.fromkeys(names), incomplete))


def models(incomplete: str) -> list[str]:
    """Every model."""
    from tagbox.weights.catalogue import MODELS

    return list(_beginning((model.identifier for model in MODELS), incomplete))


def data(incomplete: str) -> list[str]:
    """Vocabularies."""
    from tagbox.tags.vocabularies import TAGS

    return list(_beginning(TAGS, incomplete))


def generators(incomplete: str) -> list[str]:
    """Generators by name, and files of weights."""
    from tagbox.weights.catalogue import MODELS

    names = [model.name for model in MODELS if model.kind == "generator"]
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    files = sorted(map(str, folder.glob("*.safetensors")))
    return list(_beginning([*names, *files], incomplete))


def objectives(incomplete: str) -> list[str]:
    """What can fall."""
    return list(_beginning(OBJECTIVES, incomplete))


def devices(incomplete: str) -> list[str]:
    """Where to compute."""
    from tagbox.settings import DEVICES

    return list(_beginning(DEVICES, incomplete))


def _beginning(words: Iterable[str], incomplete: str) -> Iterator[str]:
    return (word for word in words if word.casefold().startswith(incomplete.casefold()))
