"""The query that asks for each stem of a data set, in words that taggers know.

Slakh2100 names General MIDI's families. No query asks for a family that no tagger's vocabulary has a word for
("ethnic"), and reports say so. Where only some taggers have the word, systems without it have no estimate.
"""

from tagbox.tags.resolve import can_express

QUERIES: dict[str, str | None] = {
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
"""The query for a stem by its name in lower case; None where no tagger has a word for it."""

CHOIR_PROGRAMS = (52, 53, 54)
"""General MIDI programs of Slakh's "Strings (continued)" that are choirs: their query is "vocals"."""


def query_for_stem(name: str, program: int | None = None) -> str | None:
    """Return the query that asks for the stem called `name`, or None.

    A name outside the table is a query itself where some tagger knows it ("violin").

    Args:
        program: the stem's General MIDI program, from 0.
    """
    key = name.strip().lower().replace("_", " ")
    if program in CHOIR_PROGRAMS and QUERIES.get(key) == "strings":
        return "vocals"
    if key in QUERIES:
        return QUERIES[key]
    return key if can_express(key) else None
