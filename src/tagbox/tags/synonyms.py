"""Words that mean more than the tag they are spelled like, and what they mean in each vocabulary.

For MagnaTagATune these are the presets of the published notebook, by name rather than by number (its "sitar"
was one place off). A word for a family (vocals, guitar, strings) takes every member of it that the vocabulary
knows.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A word, other words for it, and the tags that it stands for by vocabulary."""

    name: str
    also: tuple[str, ...]
    tags: dict[str, tuple[str, ...]]


def _variants(who: tuple[str, ...]) -> tuple[str, ...]:
    kinds = ("vocal", "voice", "singer", "singing", "vocalist")
    return who + tuple(f"{one} {kind}" for one in who for kind in kinds)


_MALE = ("vocal", "male", "singing", "vocals", "male vocal", "man", "male voice")
_FEMALE = ("vocal", "female", "woman", "voice", "female vocal", "female voice")
# In the order of the outputs: the notebook's 13 15 18 19 20 26 27 33 35 36 39 40 48 49.
_VOCALS = ("vocal", "female", "male", "singing", "vocals", "woman", "male vocal", "man", "choir", "voice",
           "male voice", "female vocal", "female voice", "choral")  # fmt: skip

PRESETS: tuple[Preset, ...] = (
    Preset(
        "vocals",
        ("voice", "singing", "singer", "vocalist", "vox", "human voice", "lead vocals", "song voice"),
        {
            "rendered": ("vocals",),
            "mtat": _VOCALS,
            "jamendo": ("instrument---voice",),
            "msd": ("female vocalists", "male vocalists", "female vocalist"),
        },
    ),
    Preset("male vocals", _variants(("male", "man", "men's")), {"mtat": _MALE, "msd": ("male vocalists",)}),
    Preset(
        "female vocals",
        _variants(("female", "woman", "women's")),
        {"mtat": _FEMALE, "msd": ("female vocalists", "female vocalist")},
    ),
    Preset("choir", ("chorus",), {"rendered": ("choir",), "mtat": ("choir",)}),
    Preset(
        "no vocals",
        ("no voice", "no singing", "without vocals", "instrumental"),
        {"mtat": ("no vocals", "no vocal", "no voice"), "msd": ("instrumental",)},
    ),
    Preset(
        "guitar",
        (),
        {
            "rendered": ("guitar",),
            "mtat": ("guitar",),
            "jamendo": ("instrument---acousticguitar", "instrument---electricguitar", "instrument---guitar"),
            "msd": ("guitar",),
        },
    ),
    Preset(
        "acoustic guitar",
        ("classical guitar",),
        {"rendered": ("acoustic guitar",), "jamendo": ("instrument---acousticguitar",)},
    ),
    Preset(
        "electric guitar",
        ("e-guitar",),
        {"rendered": ("electric guitar",), "jamendo": ("instrument---electricguitar",)},
    ),
    Preset(
        "bass",
        ("bass guitar", "electric bass", "bassline"),
        {"rendered": ("bass",), "jamendo": ("instrument---bass",)},
    ),
    Preset(
        "drums",
        ("percussion", "drum kit", "drum set"),
        {"rendered": ("drums",), "mtat": ("drums", "beat", "beats"), "jamendo": ("instrument---drums",)},
    ),
    Preset("drum machine", ("drum computer", "electronic drums"), {"jamendo": ("instrument---drummachine",)}),
    Preset(
        "piano",
        ("grand piano", "pianoforte"),
        {"rendered": ("piano",), "mtat": ("piano", "harpsichord"), "jamendo": ("instrument---piano",)},
    ),
    Preset(
        "electric piano",
        ("e-piano", "rhodes"),
        {"rendered": ("electric piano",), "jamendo": ("instrument---electricpiano",)},
    ),
    Preset("keyboard", ("keys",), {"rendered": ("keyboard",), "jamendo": ("instrument---keyboard",)}),
    Preset("harpsichord", ("cembalo",), {"rendered": ("harpsichord",), "mtat": ("harpsichord",)}),
    Preset(
        "synth",
        ("synthesizer", "synthesiser"),
        {"rendered": ("synth",), "mtat": ("synth",), "jamendo": ("instrument---synthesizer",)},
    ),
    Preset(
        "synth lead",
        ("lead synth",),
        {"rendered": ("synth lead",), "mtat": ("synth",), "jamendo": ("instrument---synthesizer",)},
    ),
    Preset(
        "synth pad",
        ("pad",),
        {"rendered": ("synth pad",), "mtat": ("synth",), "jamendo": ("instrument---synthesizer",)},
    ),
    Preset("computer", (), {"jamendo": ("instrument---computer",)}),
    Preset(
        "strings",
        ("string section", "string ensemble", "bowed strings"),
        {
            "rendered": ("strings",),
            "mtat": ("strings", "violin", "cello"),
            "jamendo": ("instrument---strings", "instrument---violin"),
        },
    ),
    Preset(
        "violin",
        ("fiddle",),
        {"rendered": ("violin",), "mtat": ("violin",), "jamendo": ("instrument---violin",)},
    ),
    Preset("cello", ("violoncello",), {"rendered": ("cello",), "mtat": ("cello",)}),
    Preset("harp", (), {"rendered": ("harp",), "mtat": ("harp",)}),
    Preset("flute", (), {"rendered": ("flute",), "mtat": ("flute",)}),
    Preset("sitar", (), {"rendered": ("sitar",), "mtat": ("sitar",)}),
)

# Other spellings of single tags: taken where the vocabulary has no tag of that very spelling.
LIKE: dict[str, str] = {
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
