"""Suggest words to separate: the instruments and voices that a tagger predicts in the recording."""

from collections.abc import Sequence

from tagbox.free_text import tags_heard, words_to_compare
from tagbox.settings import Settings
from tagbox.tagging import TagPredictions
from tagbox.tags.resolve import can_express, meaning, short_name
from tagbox.tags.synonyms import TAG_GROUPS
from tagbox.tags.vocabularies import TAGS
from tagbox.weights.store import vocabulary_of

NOT_A_SOURCE = ("no vocals",)
MAX_SUGGESTIONS = 6


def suggest_sources(predictions: TagPredictions, count: int = MAX_SUGGESTIONS) -> list[tuple[str, float]]:
    """Return the `count` most probable sources of a recording, the most probable first, with probabilities.

    A word's probability is that of its most probable tag in the window where this is highest, so that a
    source that plays only for a while is suggested, too.
    """
    highest = predictions.windows.amax(dim=0)
    probabilities = {
        word: max(float(highest[predictions.tags.index(tag)]) for tag in meaning(word, predictions.data))
        for word in source_words(predictions.data)
    }
    return sorted(probabilities.items(), key=lambda item: -item[1])[:count]


def source_words(data: str) -> list[str]:
    """Return the words for instruments and voices that the vocabulary `data` can express."""
    return [group.name for group in TAG_GROUPS if data in group.tags and group.name not in NOT_A_SOURCE]


def known_words(taggers: Sequence[str]) -> list[str]:
    """Return every word that all of `taggers`, as data/architecture, can express; those for sources first."""
    vocabularies = {vocabulary_of(name) for name in taggers}
    names = [group.name for group in TAG_GROUPS]
    tags = [short_name(tag) for data in sorted(vocabularies) for tag in TAGS[data]]
    return [word for word in dict.fromkeys([*names, *tags]) if vocabularies <= set(can_express(word))]


def target_indices(queries: Sequence[str], settings: Settings) -> dict[str, list[list[int]]]:
    """Return for each query, for each tagger of a run, the indices of the tags that the query means.

    Raises:
        TagBoxError: a query is empty or means nothing to a tagger that has to understand it.
    """
    vocabularies = [vocabulary_of(name) for name in settings.taggers]
    heard = {query: tags_heard(query, vocabularies, settings) for query in queries}
    words = words_to_compare(heard, vocabularies, settings)
    return {
        query: [
            [TAGS.get(data, words).index(tag) for tag in tags]
            for tags, data in zip(by_tagger, vocabularies, strict=True)
        ]
        for query, by_tagger in heard.items()
    }
