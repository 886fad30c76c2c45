"""Which words ask for which source: the names that data sets give their stems, and our tags.

Slakh2100 names General MIDI's families. A family that no tagger's vocabulary has a word for ("ethnic") is not
asked for, and reports say so; where only some taggers have the word, methods without them answer "missing".
"""

from tagbox.tags.resolve import can_express

WORDS: dict[str, str | None] = {
    # Slakh2100
    "bass": "bass",
    "brass": "brass",
    "chromatic percussion": "chromatic percussion",
    "drums": "drums",
    "ethnic": None,
    "guitar": "guitar",
    "organ": "organ+accordion",
    "percussive": None,
    "piano": "piano",
    "pipe": "flute",
    "reed": "reed",
    "sound effects": None,
    "strings": "strings",
    "strings (continued)": "strings",
    "ensemble": "strings",
    "synth effects": "synth",
    "synth lead": "synth lead",
    "synth pad": "synth pad",
    # MUSDB18
    "vocals": "vocals",
    "other": None,
    "accompaniment": None,
}
"""The word for a stem's name in lower case; None is "nobody has a word for it"."""

VOICES = (52, 53, 54)
"""General MIDI programs of Slakh's "Strings (continued)" that are choirs: they are asked for as vocals."""


def word_for(name: str, program: int | None = None) -> str | None:
    """The word that asks for a stem called `name`, or None; `program` is its General MIDI number.

    Names outside the table are words themselves where some tagger knows them ("violin").
    """
    key = name.strip().lower().replace("_", " ")
    if program in VOICES and WORDS.get(key) == "strings":
        return "vocals"
    if key in WORDS:
        return WORDS[key]
    return key if can_express(key) else None
