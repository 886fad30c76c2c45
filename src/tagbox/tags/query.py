"""Read queries: the word or the union of words that names one source, as tags of a vocabulary."""

from collections.abc import Sequence

from tagbox.errors import TagBoxError, UnknownTagError
from tagbox.tags.published import published_names
from tagbox.tags.resolve import can_express, meaning
from tagbox.tags.vocabularies import EXCLUSIVE

UNION = "+"
"""Joins words that are one source together: "violin+cello"."""


def words_of(query: str) -> tuple[str, ...]:
    """Split a query at its `UNION` signs.

    Raises:
        TagBoxError: it has no word.

    >>> words_of("violin + cello")
    ('violin', 'cello')
    """
    words = tuple(word for part in query.split(UNION) if (word := part.strip()))
    if not words:
        raise TagBoxError("a tag is empty; name what to take out, for example --tags violin")
    return words


def check_queries(queries: Sequence[str]) -> None:
    """Check that there are queries, and that none is given twice.

    Raises:
        TagBoxError: there is none, or one is given twice.
    """
    if not queries:
        raise TagBoxError("no tag is given; name what to take out, for example --tags violin")
    if len(set(queries)) != len(queries):
        raise TagBoxError("a tag is given twice; name each source once")


def target_tags(query: str, data: str, vocabulary: str = "right") -> tuple[str, ...]:
    """Return the tags of the vocabulary `data` that a query means, each once.

    Args:
        vocabulary: "right", or "published" for the order of tags that the published code assumes.

    Raises:
        TagBoxError: the query is empty or means nothing in this vocabulary.
    """
    words = words_of(query)
    if vocabulary == "published":
        return published_names(words, data)
    for word in words:
        others = can_express(word)
        if data in EXCLUSIVE and others and data not in others:
            raise UnknownTagError(
                f"the listener has no word for {word!r}, and other taggers do; try --preset steered"
                f" ({', '.join(others)})"
            )
    return tuple(dict.fromkeys(tag for word in words for tag in meaning(word, data)))
