"""Words that stand for groups of tags, and aliases of single tags.

A word for a family (vocals, guitar, strings) means every member of it that a vocabulary has. For
MagnaTagATune the groups are the presets of the published notebook, by name rather than by number (its "sitar"
was one place off).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TagGroup:
    """A word, its synonyms, and the tags that they mean in each vocabulary.

    Attributes:
        name: the word by which the group is listed.
        synonyms: other words for it.
        tags: by vocabulary; a vocabulary that cannot express the word is left out.
    """

    name: str
    synonyms: tuple[str, ...]
    tags: dict[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the name and its synonyms."""
        return (self.name, *self.synonyms)


def _singers(adjectives: tuple[str, ...]) -> tuple[str, ...]:
    """Combine each of `adjectives` with each word for a singer; return them and the adjectives."""
    nouns = ("vocal", "voice", "singer", "singing", "vocalist")
    return adjectives + tuple(f"{adjective} {noun}" for adjective in adjectives for noun in nouns)


_MALE = ("vocal", "male", "singing", "vocals", "male vocal", "man", "male voice")
_FEMALE = ("vocal", "female", "woman", "voice", "female vocal", "female voice")
# In the order of the outputs: the notebook's 13 15 18 19 20 26 27 33 35 36 39 40 48 49.
_VOCALS = ("vocal", "female", "male", "singing", "vocals", "woman", "male vocal", "man", "choir", "voice",
           "male voice", "female vocal", "female voice", "choral")  # fmt: skip

TAG_GROUPS: tuple[TagGroup, ...] = (
    TagGroup(
        "vocals",
        ("voice", "singing", "singer", "vocalist", "vox", "human voice", "lead vocals", "song voice"),
        {
            "rendered": ("vocals",),
            "mtat": _VOCALS,
            "jamendo": ("instrument---voice",),
            "msd": ("female vocalists", "male vocalists", "female vocalist"),
        },
    ),
    TagGroup("male vocals", _singers(("male", "man", "men's")), {"mtat": _MALE, "msd": ("male vocalists",)}),
    TagGroup(
        "female vocals",
        _singers(("female", "woman", "women's")),
        {"mtat": _FEMALE, "msd": ("female vocalists", "female vocalist")},
    ),
    TagGroup("choir", ("chorus",), {"rendered": ("choir",), "mtat": ("choir",)}),
    TagGroup(
        "no vocals",
        ("no voice", "no singing", "without vocals", "instrumental"),
        {"mtat": ("no vocals", "no vocal", "no voice"), "msd": ("instrumental",)},
    ),
    TagGroup(
        "guitar",
        (),
        {
            "rendered": ("guitar",),
            "mtat": ("guitar",),
            "jamendo": ("instrument---acousticguitar", "instrument---electricguitar", "instrument---guitar"),
            "msd": ("guitar",),
        },
    ),
    TagGroup(
        "acoustic guitar",
        ("classical guitar",),
        {"rendered": ("acoustic guitar",), "jamendo": ("instrument---acousticguitar",)},
    ),
    TagGroup(
        "electric guitar",
        ("e-guitar",),
        {"rendered": ("electric guitar",), "jamendo": ("instrument---electricguitar",)},
    ),
    TagGroup(
        "bass",
        ("bass guitar", "electric bass", "bassline"),
        {"rendered": ("bass",), "jamendo": ("instrument---bass",)},
    ),
    TagGroup(
        "drums",
        ("percussion", "drum kit", "drum set"),
        {"rendered": ("drums",), "mtat": ("drums", "beat", "beats"), "jamendo": ("instrument---drums",)},
    ),
    TagGroup(
        "drum machine", ("drum computer", "electronic drums"), {"jamendo": ("instrument---drummachine",)}
    ),
    TagGroup(
        "piano",
        ("grand piano", "pianoforte"),
        {"rendered": ("piano",), "mtat": ("piano", "harpsichord"), "jamendo": ("instrument---piano",)},
    ),
    TagGroup(
        "electric piano",
        ("e-piano", "rhodes"),
        {"rendered": ("electric piano",), "jamendo": ("instrument---electricpiano",)},
    ),
    TagGroup("keyboard", ("keys",), {"rendered": ("keyboard",), "jamendo": ("instrument---keyboard",)}),
    TagGroup("harpsichord", ("cembalo",), {"rendered": ("harpsichord",), "mtat": ("harpsichord",)}),
    TagGroup(
        "synth",
        ("synthesizer", "synthesiser"),
        {"rendered": ("synth",), "mtat": ("synth",), "jamendo": ("instrument---synthesizer",)},
    ),
    TagGroup(
        "synth lead",
        ("lead synth",),
        {"rendered": ("synth lead",), "mtat": ("synth",), "jamendo": ("instrument---synthesizer",)},
    ),
    TagGroup(
        "synth pad",
        ("pad",),
        {"rendered": ("synth pad",), "mtat": ("synth",), "jamendo": ("instrument---synthesizer",)},
    ),
    TagGroup("computer", (), {"jamendo": ("instrument---computer",)}),
    TagGroup(
        "strings",
        ("string section", "string ensemble", "bowed strings"),
        {
            "rendered": ("strings",),
            "mtat": ("strings", "violin", "cello"),
            "jamendo": ("instrument---strings", "instrument---violin"),
        },
    ),
    TagGroup(
        "violin",
        ("fiddle",),
        {"rendered": ("violin",), "mtat": ("violin",), "jamendo": ("instrument---violin",)},
    ),
    TagGroup("cello", ("violoncello",), {"rendered": ("cello",), "mtat": ("cello",)}),
    TagGroup("harp", (), {"rendered": ("harp",), "mtat": ("harp",)}),
    TagGroup("flute", (), {"rendered": ("flute",), "mtat": ("flute",)}),
    TagGroup("sitar", (), {"rendered": ("sitar",), "mtat": ("sitar",)}),
)

ALIASES: dict[str, str] = {
    "rap": "hip hop",
    "r&b": "rnb",
    "rhythm and blues": "rnb",
    "chill": "chillout",
    "classical music": "classical",
    "electronic music": "electronic",
    "heavymetal": "metal",
    "relaxed": "relaxing",
    "sixties": "60s",
    "seventies": "70s",
    "eighties": "80s",
    "nineties": "90s",
    "world music": "world",
    "film music": "soundtrack",
    "sax": "saxophone",
    "french horn": "horn",
    "trombone": "horn",
    "tuba": "horn",
    "english horn": "oboe",
    "bassoon": "oboe",
    "woodwinds": "woodwind",
    "mallets": "chromatic percussion",
    "vibraphone": "chromatic percussion",
    "marimba": "chromatic percussion",
    "xylophone": "chromatic percussion",
    "glockenspiel": "chromatic percussion",
    "church organ": "organ",
}
"""Other names of single tags, for vocabularies that have no tag of that very spelling."""
