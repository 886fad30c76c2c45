"""From a word to the outputs of a tagger.

A word is read the way a person means it; case, spaces, hyphens and a plural's "s" do not matter:

1. `tag:vocal` is that one tag of the vocabulary, nothing else; so is a name in full, `instrument---violin`.
2. The name of a preset, or another word for it: "vocals", "singer", "Voice" are fourteen tags of mtat.
3. Any tag of the vocabulary; Jamendo's go without their prefix too: "film", "classical".
4. Another spelling of a tag: "rap" for hip hop.
"""

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

from tagbox.errors import TagBoxError
from tagbox.tags.synonyms import LIKE, PRESETS, Preset
from tagbox.tags.vocabularies import TAGS

RAW = "tag:"
ALIKE = 0.75  # of difflib's ratio, for a word to be taken for a misspelling of another


def resolve(words: Sequence[str], data: str) -> tuple[int, ...]:
    """The outputs of a tagger of the vocabulary `data` that `words` mean together, each once.

    Raises:
        TagBoxError: there is no word, a word that this vocabulary cannot express, or no such vocabulary.
    """
    if not words:
        raise TagBoxError("no tag was given; `tagbox tags` lists what can be asked for")
    tags = dict.fromkeys(tag for word in words for tag in meaning(word, data))
    return tuple(TAGS[data].index(tag) for tag in tags)


def meaning(word: str, data: str) -> tuple[str, ...]:
    """The tags that `word` means in the vocabulary `data`.

    Raises:
        TagBoxError: this vocabulary cannot express the word; the message names those that can, or the nearest
            words.
    """
    check_vocabulary(data)
    if not key(_without_mark(word)):
        raise TagBoxError("a tag is empty; `tagbox tags` lists what can be asked for")
    tags = _look_up(word, data)
    if tags:
        return tags
    able = can_express(word)
    if able:
        others = " and ".join(f"--data {other}" for other in able)
        raise TagBoxError(f"the vocabulary {data} cannot express {word!r}; use {others}")
    raise TagBoxError(unknown(word, data))


def can_express(word: str) -> tuple[str, ...]:
    """The vocabularies that have tags for `word`; none where the word is unknown."""
    return tuple(data for data in TAGS if key(_without_mark(word)) and _look_up(word, data))


def check_vocabulary(data: str) -> None:
    """Raise `TagBoxError` where there is no vocabulary `data`."""
    if data not in TAGS:
        raise TagBoxError(f"there is no vocabulary {data!r}; choose {', '.join(TAGS)}")


def short(tag: str) -> str:
    """A tag without the prefix of Jamendo's: "instrument---violin" is "violin"."""
    return tag.rsplit("---", 1)[-1]


def nearest(word: str, data: str | None = None) -> tuple[str, ...]:
    """Up to three known words spelled most like `word`, best first; those of `data` if it has any."""
    vocabularies = tuple(TAGS) if data is None else (data,)
    names: dict[str, str] = {}
    if not _is_raw(word):
        for preset in PRESETS:
            if any(vocabulary in preset.tags for vocabulary in vocabularies):
                for name in _names(preset):
                    names.setdefault(key(name), name)
    mark = RAW if _is_raw(word) else ""
    for vocabulary in vocabularies:
        for tag in TAGS[vocabulary]:
            names.setdefault(key(short(tag)), mark + short(tag))
    wanted = key(_without_mark(word))
    found = difflib.get_close_matches(wanted, names, n=8, cutoff=ALIKE)
    if not found and data is not None:
        return nearest(word)
    # Several spellings of one preset are one suggestion.
    chosen: dict[str, str] = {}
    for one in found:
        known = _presets().get(_singular(one))
        chosen.setdefault(names[one] if known is None or mark else known.name, names[one])
    return tuple(chosen.values())[:3]


def unknown(word: str, data: str | None = None) -> str:
    """What to say of a word that no vocabulary has."""
    near = nearest(word, data)
    hint = f"did you mean {' or '.join(near)}?" if near else "`tagbox tags` lists what can be asked for"
    return f"no tagger knows {word!r}; {hint}"


def key(word: str) -> str:
    """What is compared of a word: its letters and figures, in lower case, without accents."""
    plain = unicodedata.normalize("NFKD", word.casefold().replace("&", "n"))
    return "".join(letter for letter in plain if letter.isalnum())


def _is_raw(word: str) -> bool:
    return word.strip().casefold().startswith(RAW)


def _without_mark(word: str) -> str:
    return word.strip()[len(RAW) :] if _is_raw(word) else word


def _singular(word: str) -> str:
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _look_up(word: str, data: str) -> tuple[str, ...]:
    if _is_raw(word) or "---" in word:
        return _raw(_without_mark(word), data)
    preset = _presets().get(_singular(key(word)))
    if preset is not None:
        return preset.tags.get(data, ())
    return _raw(word, data) or _number(word, data) or _spelled_otherwise(word, data)


def _raw(word: str, data: str) -> tuple[str, ...]:
    """The one tag that is spelled so, with or without its prefix."""
    wanted = key(word)
    return tuple(tag for tag in TAGS[data] if wanted in (key(tag), key(short(tag))))[:1]


def _number(word: str, data: str) -> tuple[str, ...]:
    """The one tag that is spelled so but for an "s" at its end."""
    wanted = _singular(key(word))
    return tuple(tag for tag in TAGS[data] if wanted == _singular(key(short(tag))))[:1]


def _spelled_otherwise(word: str, data: str) -> tuple[str, ...]:
    for other, tag in LIKE.items():
        if key(other) == key(word):
            return _raw(tag, data)
    return ()


@cache
def _presets() -> dict[str, Preset]:
    return {_singular(key(name)): preset for preset in PRESETS for name in _names(preset)}


def _names(preset: Preset) -> Iterable[str]:
    return (preset.name, *preset.also)
