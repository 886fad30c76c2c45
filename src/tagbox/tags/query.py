"""Resolve queries: a query is the word, or the union of words, that names one source."""

from collections.abc import Iterable, Sequence

from tagbox.errors import TagBoxError, UnknownTagError
from tagbox.tags.published import published_meaning
from tagbox.tags.resolve import can_express, meaning, normalise_word
from tagbox.tags.vocabularies import EXCLUSIVE, is_open, members

UNION = "+"
"""Joins the words of a query: "violin+cello" is one source of two tags."""


def words_of(query: str) -> tuple[str, ...]:
    """Split a query at its `UNION` signs.

    Raises:
        TagBoxError: the query has no word.

    >>> words_of("violin + cello")
    ('violin', 'cello')
    """
    words = tuple(word for part in query.split(UNION) if (word := part.strip()))
    if not words:
        raise TagBoxError("a tag is empty; name what to take out, for example --tags violin")
    return words


def as_queries(tags: Sequence[str] | str) -> tuple[str, ...]:
    """Return the queries that somebody gave: a single text is one query.

    Raises:
        TagBoxError: something else than texts was given.
    """
    queries = (tags,) if isinstance(tags, str) else tuple(tags) if isinstance(tags, Iterable) else (tags,)
    for query in queries:
        if not isinstance(query, str):
            raise TagBoxError(f"{query!r} is no tag; give texts, for example tags=['violin', 'piano']")
    return queries


INSTRUMENTAL_WORDS = ("karaoke", "instrumental", "instrumentals", "accompaniment", "backing track")
"""Words for all but the vocals: no source that a tagger predicts, but the residual of one."""
VOCALS = "vocals"


def split_instrumental(queries: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """Replace a word for all but the vocals by the vocals, whose residual it means.

    Returns:
        the queries to separate, and the name of their residual; None where no such word is among `queries`.

    Raises:
        TagBoxError: another source than the vocals is asked for as well, which the residual would then lack.

    >>> split_instrumental(["Karaoke"]), split_instrumental(["violin"])
    ((('vocals',), 'karaoke'), (('violin',), None))
    """
    known = {normalise_word(word): word for word in INSTRUMENTAL_WORDS}
    names = [known[normalise_word(query)] for query in queries if normalise_word(query) in known]
    if not names:
        return tuple(queries), None
    others = [query for query in queries if normalise_word(query) not in known]
    if len(names) > 1 or len(others) > 1 or any(normalise_word(each) != VOCALS for each in others):
        raise TagBoxError(
            f"{names[0]} is all but the vocals, so it goes with no other tag; separate "
            f"{', '.join(others) or names[1]} in a run of its own"
        )
    return (VOCALS,), names[0]


def check_queries(queries: Sequence[str]) -> None:
    """Check that there is a query, and that none occurs twice.

    Raises:
        TagBoxError: there is none, or one occurs twice.
    """
    if not queries:
        raise TagBoxError("no tag is given; name what to take out, for example --tags violin")
    if len(set(queries)) != len(queries):
        raise TagBoxError("a tag is given twice; name each source once")


def target_tags(
    query: str, data: str, vocabulary: str = "right", without: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the tags of the vocabulary `data` that a query means, each once.

    Args:
        query: a word, or words joined by `UNION`.
        data: the vocabulary.
        vocabulary: "right", or "published" for the order of tags that the published code assumes.
        without: queries for what is left out: "keyboard" without "piano" is the organ.

    Raises:
        UnknownTagError: this vocabulary cannot express one of the words.
        TagBoxError: the query has no word, or nothing is left of it.
    """
    words = words_of(query)
    if vocabulary == "published":
        by_word = [published_meaning(word, data) for word in words]
    else:
        for word in words:
            _check_exclusive(word, data)
        by_word = [meaning(word, data) for word in words]
    tags = tuple(dict.fromkeys(tag for tags in by_word for tag in tags))
    return _leave_out(tags, query, without, data) if without else tags


def _leave_out(tags: Sequence[str], query: str, without: Sequence[str], data: str) -> tuple[str, ...]:
    """Return `tags` without what `without` means; of a tag that stands for several, those that are left."""
    # Of texts, spellings are many: "A horn" is no less than "a horn".
    key = normalise_word if is_open(data) else str
    meant = [tag for each in without for word in words_of(each) for tag in meaning(word, data)]
    unwanted = {key(one) for tag in meant for one in members(tag, data)}
    left: list[str] = []
    for tag in tags:
        own = members(tag, data)
        kept = [one for one in own if key(one) not in unwanted]
        left += [tag] if len(kept) == len(own) else kept
    if not left:
        raise TagBoxError(f"nothing is left of {query!r} without {', '.join(without)}; leave one of them out")
    return tuple(dict.fromkeys(left))


def _check_exclusive(word: str, data: str) -> None:
    """Suggest another preset where only other vocabularies than the listener's have `word`."""
    others = can_express(word)
    if data in EXCLUSIVE and others and data not in others:
        raise UnknownTagError(
            f"the listener has no word for {word!r}, and other taggers do; try --preset "
            f"steered with a --tagger of {', '.join(others)}"
        )
