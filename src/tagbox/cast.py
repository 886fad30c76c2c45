"""Who takes part in a run: the recording checked, the tags resolved, the models loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tagbox import devices
from tagbox.audio import as_channels
from tagbox.errors import TagBoxError
from tagbox.generator import registry as generators
from tagbox.generator.generator import Generator
from tagbox.presets import Settings
from tagbox.steerables import registry as kinds
from tagbox.taggers import registry as tagger_registry
from tagbox.taggers.tagger import Tagger
from tagbox.tags.published import published_names
from tagbox.tags.resolve import can_express, meaning
from tagbox.tags.vocabularies import EXCLUSIVE

UNION = "+"
"""Between words that are to be one source: "violin+cello"."""


@dataclass(frozen=True)
class Cast:
    """Who takes part in a run: the taggers, what each is to hear, and the generator if one is steered.

    Attributes:
        words: the tags as they were asked for, one a source.
        wanted: for each word, for each tagger, the tags of its vocabulary.
        targets: for each tagger, multi-hot (sources, tags).
    """

    words: tuple[str, ...]
    wanted: Mapping[str, tuple[tuple[str, ...], ...]]
    taggers: tuple[Tagger, ...]
    targets: tuple[Tensor, ...]
    generator: Generator | None
    device: torch.device


def recording(audio: ArrayLike | Tensor, rate: int) -> Tensor:
    """`audio` as a float32 tensor (channels, samples) on the CPU, checked.

    Raises:
        TagBoxError: it is empty, silent, not finite, or of another shape, or the rate makes no sense.
    """
    if rate < 1:
        raise TagBoxError(f"the rate is {rate} Hz; give the recording's own, for example 44100")
    channels = as_channels(audio)
    if not bool(channels.any()):
        raise TagBoxError("the recording is silent; there is nothing in it to separate")
    return channels


def assemble(words: Sequence[str], settings: Settings, device: str) -> Cast:
    """Resolve the tags and load the models that a run needs; the cheap checks come first.

    Raises:
        TagBoxError: no tag, a tag that a vocabulary cannot express, or a model that is not there.
    """
    if not words:
        raise TagBoxError("no tag is given; name what to take out, for example --tags violin")
    if len(set(words)) != len(words):
        raise TagBoxError("a tag is given twice; name each source once")
    names = [_tagger_name(name) for name in settings.taggers]
    wanted = {word: tuple(_tags_of(word, data, settings.vocabulary) for data, _ in names) for word in words}
    where = devices.pick(device)
    taggers = tuple(tagger_registry.load(name, data).to(where) for data, name in names)
    generator = None
    if kinds.find(settings.steer).generator:
        dtype = devices.precision(settings.precision, where)
        generator = generators.load(settings.generator, where).lowered(dtype)
    if generator is not None and settings.level >= len(generator.hops):
        coarsest = len(generator.hops) - 1
        raise TagBoxError(
            f"the generator {generator.name} has no level {settings.level}; give 0 to {coarsest}"
        )
    targets = tuple(
        torch.stack([_multi_hot(wanted[word][i], tagger.tags) for word in words]).to(where)
        for i, tagger in enumerate(taggers)
    )
    return Cast(tuple(words), wanted, taggers, targets, generator, where)


def _tagger_name(name: str) -> tuple[str, str]:
    """ "mtat/fcn" as ("mtat", "fcn")."""
    data, slash, architecture = name.partition("/")
    if not (data and slash and architecture):
        raise TagBoxError(f"{name!r} does not name a tagger; write data/architecture, for example mtat/fcn")
    return data, architecture


def _tags_of(word: str, data: str, vocabulary: str) -> tuple[str, ...]:
    """The tags that `word`, perhaps a union, means in the vocabulary of `data`."""
    words = [part.strip() for part in word.split(UNION) if part.strip()]
    if not words:
        raise TagBoxError("a tag is empty; name what to take out, for example --tags violin")
    if vocabulary == "published":
        return published_names(words, data)
    for part in words:
        others = can_express(part)
        if data in EXCLUSIVE and others and data not in others:
            raise TagBoxError(
                f"the listener has no word for {part!r}, and other taggers do; try --preset steered"
                f" ({', '.join(others)})"
            )
    return tuple(dict.fromkeys(tag for part in words for tag in meaning(part, data)))


def _multi_hot(tags: Sequence[str], vocabulary: Sequence[str]) -> Tensor:
    return torch.tensor([float(tag in tags) for tag in vocabulary])
