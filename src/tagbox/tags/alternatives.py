"""What else may be in a recording: the sounds that a text is compared with.

A model of audio and text says how well a text describes a sound, better or worse than another text does; it
does not say how much of the sound that is. So texts are compared with each other: each gets a share, and all
shares add up to one. What somebody asks for is compared with what the result must be without, and with the
common sounds below, except those that it names or belongs to.
"""

from collections.abc import Sequence

from tagbox.tags.resolve import as_text, normalise_word

COMMON_SOUNDS = (
    "singing voice", "choir", "speech", "piano", "electric piano", "organ", "accordion", "harpsichord",
    "acoustic guitar", "electric guitar", "distorted electric guitar", "electric bass", "double bass",
    "violin", "cello", "string section", "harp", "trumpet", "trombone", "french horn", "tuba", "saxophone",
    "clarinet", "oboe", "flute", "synthesizer", "synthesizer pad", "drum kit", "cymbals", "hand percussion",
    "xylophone", "sitar", "sound effects", "applause", "noise", "music",
)  # fmt: skip

_FILLERS = frozenset(("a", "an", "the", "of", "and", "with", "in", "on", "sound", "some"))
"""Words of a text that name nothing."""


def compared_texts(wanted: Sequence[str], unwanted: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the texts that share a sound between them: `wanted`, `unwanted`, then common sounds.

    Raises:
        TagBoxError: a text is empty or too long.

    >>> texts = compared_texts(["a muted trumpet"], ["reverb"])
    >>> texts[:2], "trumpet" in texts, "trombone" in texts
    (('a muted trumpet', 'reverb'), False, True)
    """
    given = tuple(dict.fromkeys(map(as_text, (*wanted, *unwanted))))
    asked = [_names(text) for text in given]
    return (*given, *(each for each in COMMON_SOUNDS if not any(_is_part(each, names) for names in asked)))


def _names(text: str) -> frozenset[str]:
    """Return the words of a text that name something, in one spelling."""
    words = (normalise_word(word) for word in text.replace("-", " ").split())
    return frozenset(word.removesuffix("s") for word in words if word and word not in _FILLERS)


def _is_part(common: str, names: frozenset[str]) -> bool:
    """Return whether one of a common sound and a text names the other: trumpet, a muted trumpet."""
    own = _names(common)
    return own <= names or (bool(names) and names <= own)
