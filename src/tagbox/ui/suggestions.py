"""Words to ask for: what the tagger hears, in the words that people take sources out by."""

from collections.abc import Sequence

from tagbox.tagging import TagPredictions
from tagbox.tags.published import published_names
from tagbox.tags.query import UNION
from tagbox.tags.resolve import can_express, meaning, short
from tagbox.tags.synonyms import PRESETS
from tagbox.tags.vocabularies import TAGS

NOT_A_SOURCE = ("no vocals",)
SUGGESTED = 6


def suggestions(heard: TagPredictions, most: int = SUGGESTED) -> list[tuple[str, float]]:
    """Sources that may be in a recording, the surest first, with the probability of their surest tag.

    A source that plays only for a while counts by its best window.
    """
    surest = heard.windows.amax(dim=0)
    found = {
        word: max(float(surest[heard.tags.index(tag)]) for tag in meaning(word, heard.data))
        for word in sources(heard.data)
    }
    return sorted(found.items(), key=lambda item: -item[1])[:most]


def sources(data: str) -> list[str]:
    """The words for instruments and voices that the vocabulary `data` has."""
    return [preset.name for preset in PRESETS if data in preset.tags and preset.name not in NOT_A_SOURCE]


def known(taggers: Sequence[str]) -> list[str]:
    """Every word that all of `taggers`, as data/architecture, know; those for sources first."""
    learnt = {name.partition("/")[0] for name in taggers}
    names = [preset.name for preset in PRESETS]
    tags = [short(tag) for data in sorted(learnt) for tag in TAGS[data]]
    return [word for word in dict.fromkeys([*names, *tags]) if learnt <= set(can_express(word))]


def outputs(word: str, taggers: Sequence[str], vocabulary: str) -> list[list[int]]:
    """For each tagger, as data/architecture, the outputs that `word`, perhaps a union, stands for."""
    parts = [part.strip() for part in word.split(UNION) if part.strip()]
    found = []
    for data in (name.partition("/")[0] for name in taggers):
        if vocabulary == "published":
            tags: Sequence[str] = published_names(parts, data)
        else:
            tags = [tag for part in parts for tag in meaning(part, data)]
        found.append([TAGS[data].index(tag) for tag in dict.fromkeys(tags)])
    return found
