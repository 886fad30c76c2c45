"""Choose who hears the words of a run: a vocabulary that has them, or else a model that understands any text.

Where components are heard, each query is heard by the taggers whose vocabulary has its words. One that no
such tagger knows is heard by a tagger of an open vocabulary: one of the run's, or the first in the catalogue
whose weights are on this machine. The share network knows its own classes only, so such a run is separated by
components alone.

Where a loss is minimised, every tagger of the run has to understand every query.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tagbox.errors import UnknownTagError
from tagbox.methods.registry import find_method
from tagbox.plugins.descriptions import Model
from tagbox.plugins.discovery import missing_packages
from tagbox.settings import Settings
from tagbox.tags.alternatives import compared_texts
from tagbox.tags.query import target_tags, words_of
from tagbox.tags.resolve import can_express, suggest_words, unknown_word_message
from tagbox.tags.vocabularies import EXCLUSIVE, is_open, predicts_shares
from tagbox.weights import catalogue, store

NETWORK_VOCABULARY = "rendered"
"""Of the share network."""

Heard = tuple[tuple[str, ...], ...]
"""For each tagger of a run the tags that a query means to it; none where others hear it."""


@dataclass(frozen=True)
class Listeners:
    """The settings with which all words are heard, and what is to be said of it.

    Attributes:
        settings: those that were given, or others that name more taggers and perhaps another method.
        note: which words are heard as text, and by which tagger; None where none is.
    """

    settings: Settings
    note: str | None = None


def choose_listeners(queries: Sequence[str], settings: Settings) -> Listeners:
    """Return settings whose taggers hear all of `queries`.

    Raises:
        UnknownTagError: nothing on this machine understands a word; says what could, or suggests other words.
        TagBoxError: a query is empty, too long for a text, or nothing is left of it.
    """
    if settings.vocabulary != "right":
        return Listeners(settings)
    vocabularies = {name: store.vocabulary_of(name) for name in settings.taggers}
    if not hears_components(settings):
        if not any(map(is_open, vocabularies.values())):
            _check_known([*queries, *settings.without])
        return Listeners(settings)
    if not any(map(predicts_shares, vocabularies.values())):
        # Nobody can say what components are; `tagbox.presets.validate` explains it.
        return Listeners(settings)
    known = {
        name: [query for query in queries if _knows(query, data, settings)]
        for name, data in vocabularies.items()
        if not is_open(data)
    }
    by_shares = [query for name in known if vocabularies[name] in EXCLUSIVE for query in known[name]]
    as_text = [query for query in queries if query not in by_shares]
    uses_network = find_method(settings.steer).needs_share_network
    if uses_network:
        lacking = [query for query in queries if not _knows(query, NETWORK_VOCABULARY, settings)]
    else:
        lacking = as_text
    if not lacking:
        return Listeners(settings)
    texts = [name for name, data in vocabularies.items() if is_open(data)]
    if as_text and not texts:
        texts = [_find_text_tagger(as_text, settings).identifier]
    for query in as_text:
        # Says what is too long, or that nothing is left of a query.
        target_tags(query, store.vocabulary_of(texts[0]), without=settings.without)
    taggers = (*(name for name, heard in known.items() if heard), *(texts if as_text else ()))
    return Listeners(
        replace(settings, taggers=taggers, steer="gates" if uses_network else settings.steer),
        _describe(as_text, texts) if as_text else None,
    )


def hears_components(settings: Settings) -> bool:
    """Return whether taggers only say what components are, and nothing is steered by them."""
    infers = settings.steer == "gates" and settings.begin == "heard" and settings.steps == 1
    return infers or find_method(settings.steer).needs_share_network


def tags_heard(query: str, vocabularies: Sequence[str], settings: Settings) -> Heard:
    """Return for each of `vocabularies` the tags that a tagger of it listens for.

    Raises:
        UnknownTagError: none of them knows the query, or one does not that has to.
    """
    if settings.vocabulary != "right" or not hears_components(settings):
        return tuple(target_tags(query, data, settings.vocabulary, settings.without) for data in vocabularies)
    is_named = any(data in EXCLUSIVE and _knows(query, data, settings) for data in vocabularies)
    heard = tuple(
        ()
        if (is_open(data) and is_named) or not _knows(query, data, settings)
        else target_tags(query, data, without=settings.without)
        for data in vocabularies
    )
    if not any(heard):
        # Says why.
        target_tags(query, vocabularies[0], without=settings.without)
    return heard


def words_to_compare(
    heard: Mapping[str, Heard], vocabularies: Sequence[str], settings: Settings
) -> tuple[str, ...]:
    """Return the words that taggers of an open vocabulary are built for: what they hear, and others.

    Args:
        heard: for each query what `tags_heard` returns.
        vocabularies: of the run's taggers.
        settings: of the run.
    """
    wanted = [
        word
        for by_tagger in heard.values()
        for tags, data in zip(by_tagger, vocabularies, strict=True)
        if is_open(data)
        for word in tags
    ]
    unwanted = [word for query in settings.without for word in words_of(query)]
    return compared_texts(wanted, unwanted)


def check_words(words: Sequence[str], taggers: Sequence[str]) -> None:
    """Check that one of `taggers` understands text, where `words` are to be heard as such.

    Raises:
        UnknownTagError: none does; says how to get one.
    """
    if words and not any(is_open(store.vocabulary_of(name)) for name in taggers):
        raise UnknownTagError(
            f"{words[0]!r} has to be heard as text, which {' and '.join(taggers)} cannot: {_how_to_get()}"
        )


def text_taggers() -> tuple[Model, ...]:
    """Return every tagger that understands any words, in the order in which they are asked."""
    return tuple(model for model in catalogue.taggers() if is_open(str(model.data)))


def _knows(query: str, data: str, settings: Settings) -> bool:
    """Return whether the vocabulary `data` has all words of a query, and of what it is to be without."""
    try:
        target_tags(query, data, without=settings.without)
    except UnknownTagError:
        return False
    return True


def _find_text_tagger(queries: Sequence[str], settings: Settings) -> Model:
    """Return the first tagger on this machine that understands any words.

    Raises:
        UnknownTagError: there is none; says how to get one, or suggests other words.
    """
    usable = _usable_text_tagger()
    if usable is not None:
        return usable
    _check_known([*queries, *settings.without])
    # Other vocabularies than the run's have them all; this says which.
    data = next(filter(EXCLUSIVE.__contains__, map(store.vocabulary_of, settings.taggers)), None)
    for query in queries:
        target_tags(query, data or NETWORK_VOCABULARY, without=settings.without)
    raise UnknownTagError(f"{queries[0]!r} has to be heard as text: {_how_to_get()}")


def _check_known(queries: Sequence[str]) -> None:
    """Check that some vocabulary has each word.

    Raises:
        UnknownTagError: none has; with a word about models that understand any text.
    """
    for word in (word for query in queries for word in words_of(query)):
        if not can_express(word):
            raise UnknownTagError(unheard_word_message(word))


def unheard_word_message(word: str) -> str:
    """Return the message about a word that no vocabulary has: similar words, or who understands any text."""
    is_slip = bool(suggest_words(word)) and " " not in word.strip()
    hint = "" if is_slip else f"; to ask for any words: {_how_to_get()}"
    return f"{unknown_word_message(word)}{hint}"


def _usable_text_tagger() -> Model | None:
    """Return the first tagger that understands any words and can be loaded; None where there is none."""
    taggers = text_taggers()
    return next((each for each in taggers if store.is_here(each) and not missing_packages(each)), None)


def _how_to_get() -> str:
    usable = _usable_text_tagger()
    if usable is not None:
        return f"--tagger {usable.identifier}"
    model = next(iter(text_taggers()), None)
    if model is None:
        return "install a plug-in whose tagger understands text"
    missing = missing_packages(model)
    install = f"pip install '{model.extra}' and then " if missing and model.extra else ""
    return f"{install}tagbox models pull {model.identifier}"


def _describe(queries: Sequence[str], taggers: Sequence[str]) -> str:
    named = ", ".join(repr(query) for query in queries)
    unknown = [word for query in queries for word in words_of(query) if not can_express(word)]
    near = [suggestion for word in unknown for suggestion in suggest_words(word)[:1]]
    hint = f" (did you mean {' or '.join(dict.fromkeys(near))}?)" if near else ""
    return f"{named}: heard as text by {' and '.join(taggers)}{hint}"
