"""Resolve a word to tags of a vocabulary.

Case, spaces, hyphens and a plural's "s" do not matter. A word is looked up in this order:

1. `tag:vocal` is the one tag of that spelling, nothing else; so is a name in full, `instrument---violin`.
2. The name of a tag group, or a synonym of it: "vocals", "singer", "Voice" are fourteen tags of mtat.
3. Any tag of the vocabulary, without Jamendo's prefixes too: "film", "classical".
4. An alias of a tag: "rap" for hip hop.

Vocabularies of plug-ins say themselves what words mean to them; where one does not have a tag group, its tags
are looked up. In an open vocabulary every word is a tag.
"""

import difflib
import unicodedata
from collections.abc import Sequence
from functools import cache

from tagbox.errors import TagBoxError, UnknownTagError
from tagbox.tags.synonyms import ALIASES, TAG_GROUPS, TagGroup
from tagbox.tags.vocabularies import TAGS, VOCABULARIES, is_open

TAG_PREFIX = "tag:"
"""Marks a word as the spelling of a single tag."""
MIN_SIMILARITY = 0.75
"""Of two spellings, by `difflib`, for one to be suggested for the other."""
MAX_SUGGESTIONS = 3
MAX_TEXT_CHARACTERS = 200
"""Of a text that a model is to understand; models cut longer ones off."""
_GROUPED = frozenset(data for group in TAG_GROUPS for data in group.tags)
"""The vocabularies of which the tag groups know every member."""


def resolve(words: Sequence[str], data: str) -> tuple[int, ...]:
    """Return the outputs of a tagger of the vocabulary `data` that `words` mean together, each once.

    Raises:
        UnknownTagError: this vocabulary cannot express one of the words.
        TagBoxError: there is no word, a word is empty, or there is no such vocabulary.
    """
    if not words:
        raise TagBoxError("no tag was given; `tagbox tags` lists what can be asked for")
    tags = dict.fromkeys(tag for word in words for tag in meaning(word, data))
    return tuple(TAGS[data].index(tag) for tag in tags)


def meaning(word: str, data: str) -> tuple[str, ...]:
    """Return the tags that `word` means in the vocabulary `data`.

    Raises:
        UnknownTagError: this vocabulary cannot express the word; the message names those that can, or the
            most similar words.
        TagBoxError: the word is empty, or there is no such vocabulary.
    """
    check_vocabulary(data)
    _check_not_empty(word)
    tags = (as_text(word),) if is_open(data) else _look_up(word, data)
    if tags:
        return tags
    others = can_express(word)
    if others:
        options = " and ".join(f"--data {other}" for other in others)
        raise UnknownTagError(f"the vocabulary {data} cannot express {word!r}; use {options}")
    raise UnknownTagError(unknown_word_message(word, data))


def as_text(word: str) -> str:
    """Return `word` as a model of text is given it, in single spaces.

    Raises:
        TagBoxError: it is empty, or so long that models cut it off.

    >>> as_text(" a  muted trumpet")
    'a muted trumpet'
    """
    _check_not_empty(word)
    text = " ".join(_without_prefix(word).split())
    if len(text) > MAX_TEXT_CHARACTERS:
        raise TagBoxError(
            f"a text of {len(text)} characters is too long to be heard; describe the sound in "
            f"{MAX_TEXT_CHARACTERS} at the most"
        )
    return text


def can_express(word: str) -> tuple[str, ...]:
    """Return the vocabularies that have tags for `word`; none where the word is unknown."""
    if not normalise_word(_without_prefix(word)):
        return ()
    return tuple(data for data in TAGS if _look_up(word, data))


def check_vocabulary(data: str) -> None:
    """Check that there is a vocabulary called `data`.

    Raises:
        TagBoxError: there is none.
    """
    if data not in VOCABULARIES:
        raise TagBoxError(f"there is no vocabulary {data!r}; choose {', '.join(VOCABULARIES)}")


def short_name(tag: str) -> str:
    """Return a tag without Jamendo's prefix: "instrument---violin" is "violin"."""
    return tag.rsplit("---", 1)[-1]


def suggest_words(word: str, data: str | None = None) -> tuple[str, ...]:
    """Return up to three known words that are spelled most like `word`, the most similar first.

    Args:
        word: unknown.
        data: the vocabulary whose words are preferred; all unless given.
    """
    raw = _has_prefix(word)
    spellings = _known_spellings(data, raw)
    target = normalise_word(_without_prefix(word))
    matches = difflib.get_close_matches(target, spellings, n=8, cutoff=MIN_SIMILARITY)
    if not matches and data is not None:
        return suggest_words(word)
    # Several names of one group are one suggestion.
    suggestions: dict[str, str] = {}
    for match in matches:
        group = None if raw else _groups_by_name().get(_singular(match))
        suggestions.setdefault(spellings[match] if group is None else group.name, spellings[match])
    return tuple(suggestions.values())[:MAX_SUGGESTIONS]


def unknown_word_message(word: str, data: str | None = None) -> str:
    """Return the message about a word that no vocabulary has, with similar words."""
    near = suggest_words(word, data)
    hint = f"did you mean {' or '.join(near)}?" if near else "`tagbox tags` lists what can be asked for"
    return f"no tagger knows {word!r}; {hint}"


def normalise_word(word: str) -> str:
    """Reduce a word to what is compared: its letters and digits, in lower case, without accents."""
    plain = unicodedata.normalize("NFKD", word.casefold().replace("&", "n"))
    return "".join(letter for letter in plain if letter.isalnum())


def _check_not_empty(word: str) -> None:
    if not normalise_word(_without_prefix(word)):
        raise TagBoxError("a tag is empty; `tagbox tags` lists what can be asked for")


def _has_prefix(word: str) -> bool:
    return word.strip().casefold().startswith(TAG_PREFIX)


def _without_prefix(word: str) -> str:
    return word.strip()[len(TAG_PREFIX) :] if _has_prefix(word) else word


def _singular(word: str) -> str:
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _look_up(word: str, data: str) -> tuple[str, ...]:
    spelling = normalise_word(_without_prefix(word))
    if _has_prefix(word) or "---" in word:
        return _as_tuple(_tags_by_spelling(data).get(spelling))
    group = _groups_by_name().get(_singular(spelling))
    own = _own_words(data)
    if own:
        meant = own.get(_singular(normalise_word(group.name if group else word)))
        if meant:
            return meant
    if group is not None and (data in group.tags or data in _GROUPED):
        return group.tags.get(data, ())
    tag = _tags_by_spelling(data).get(spelling) or _tags_by_singular(data).get(_singular(spelling))
    if tag is None and spelling in _aliases():
        tag = _tags_by_spelling(data).get(normalise_word(_aliases()[spelling]))
    return _as_tuple(tag)


def _as_tuple(tag: str | None) -> tuple[str, ...]:
    return () if tag is None else (tag,)


@cache
def _tags_by_spelling(data: str) -> dict[str, str]:
    """Return a vocabulary's tags by their normalised spellings, with and without a prefix."""
    tags: dict[str, str] = {}
    for tag in TAGS[data]:
        tags.setdefault(normalise_word(tag), tag)
        tags.setdefault(normalise_word(short_name(tag)), tag)
    return tags


@cache
def _tags_by_singular(data: str) -> dict[str, str]:
    """Return a vocabulary's tags by their normalised spellings without prefix and final "s"."""
    tags: dict[str, str] = {}
    for tag in TAGS[data]:
        tags.setdefault(_singular(normalise_word(short_name(tag))), tag)
    return tags


@cache
def _own_words(data: str) -> dict[str, tuple[str, ...]]:
    """Return what words mean by the vocabulary's own account, by their normalised spellings."""
    words = VOCABULARIES[data].words
    return {_singular(normalise_word(word)): tags for word, tags in words.items()}


@cache
def _groups_by_name() -> dict[str, TagGroup]:
    return {_singular(normalise_word(name)): group for group in TAG_GROUPS for name in group.names}


@cache
def _aliases() -> dict[str, str]:
    return {normalise_word(alias): tag for alias, tag in ALIASES.items()}


@cache
def _known_spellings(data: str | None, raw: bool) -> dict[str, str]:
    """Return what can be asked for, by its normalised spelling.

    Args:
        data: the vocabulary; all unless given.
        raw: whether single tags alone are asked for, with `TAG_PREFIX`.
    """
    vocabularies = tuple(TAGS) if data is None else (data,)
    spellings: dict[str, str] = {}
    for group in () if raw else TAG_GROUPS:
        if any(vocabulary in group.tags for vocabulary in vocabularies):
            for name in group.names:
                spellings.setdefault(normalise_word(name), name)
    prefix = TAG_PREFIX if raw else ""
    for vocabulary in vocabularies:
        for word in () if raw else VOCABULARIES[vocabulary].words:
            spellings.setdefault(normalise_word(word), word)
        for tag in TAGS.get(vocabulary, ()):
            spellings.setdefault(normalise_word(short_name(tag)), prefix + short_name(tag))
    return spellings
