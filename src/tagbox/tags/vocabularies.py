"""Define the tag vocabularies, each in the order of its taggers' outputs.

MagnaTagATune (Law et al., "Evaluation of algorithms using games", ISMIR 2009), MTG-Jamendo (Bogdanov et al.,
ICML workshop on machine learning for music discovery, 2019) and the Last.fm tags of the Million Song Dataset
(Bertin-Mahieux et al., ISMIR 2011) are represented by the fifty most frequent tags of each.

Jamendo's taggers were trained with labels in alphabetical order, which is the order used here. The published
code lists them in another order, by which "violin" (37) steers towards the electric piano.

Plug-ins add vocabularies of their own.
"""

from collections.abc import Callable, Iterator, Mapping

from tagbox.plugins import discovery
from tagbox.plugins.descriptions import Vocabulary
from tagbox.plugins.discovery import Installed
from tagbox.tags.audioset import AUDIOSET

# fmt: off
_MTAT = (
        "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano",
        "ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing",
        "vocals", "no vocals", "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal",
        "pop", "soft", "sitar", "solo", "man", "classic", "choir", "voice", "new age", "dance",
        "male voice", "female vocal", "beats", "harp", "cello", "no voice", "weird", "country", "metal",
        "female voice", "choral",
)
_JAMENDO = (
        "genre---alternative", "genre---ambient", "genre---atmospheric", "genre---chillout",
        "genre---classical", "genre---dance", "genre---downtempo", "genre---easylistening",
        "genre---electronic", "genre---experimental", "genre---folk", "genre---funk", "genre---hiphop",
        "genre---house", "genre---indie", "genre---instrumentalpop", "genre---jazz", "genre---lounge",
        "genre---metal", "genre---newage", "genre---orchestral", "genre---pop", "genre---popfolk",
        "genre---poprock", "genre---reggae", "genre---rock", "genre---soundtrack", "genre---techno",
        "genre---trance", "genre---triphop", "genre---world", "instrument---acousticguitar",
        "instrument---bass", "instrument---computer", "instrument---drummachine", "instrument---drums",
        "instrument---electricguitar", "instrument---electricpiano", "instrument---guitar",
        "instrument---keyboard", "instrument---piano", "instrument---strings", "instrument---synthesizer",
        "instrument---violin", "instrument---voice", "mood/theme---emotional", "mood/theme---energetic",
        "mood/theme---film", "mood/theme---happy", "mood/theme---relaxing",
)
_MSD = (
        "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s",
        "alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock",
        "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill", "instrumental",
        "punk", "oldies", "blues", "hard rock", "ambient", "acoustic", "experimental", "female vocalist",
        "guitar", "Hip-Hop", "70s", "party", "country", "easy listening", "sexy", "catchy", "funk",
        "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy",
)
RENDERED_CLASSES = (
        "acoustic piano", "electric piano", "harpsichord", "chromatic percussion", "organ", "accordion",
        "acoustic guitar", "clean guitar", "distorted guitar", "bass", "violin", "cello",
        "orchestral strings", "pizzicato", "harp", "choir", "trumpet", "horn", "brass section", "saxophone",
        "oboe", "clarinet", "flute", "synth lead", "synth pad", "sitar", "drums", "solo singing", "effects",
)
# fmt: on

RENDERED_FAMILIES = {
    "piano": ("acoustic piano", "electric piano", "harpsichord"),
    "guitar": ("acoustic guitar", "clean guitar", "distorted guitar"),
    "electric guitar": ("clean guitar", "distorted guitar"),
    "strings": ("violin", "cello", "orchestral strings", "pizzicato"),
    "brass": ("trumpet", "horn", "brass section"),
    "reed": ("saxophone", "oboe", "clarinet"),
    "woodwind": ("saxophone", "oboe", "clarinet", "flute"),
    "synth": ("synth lead", "synth pad"),
    "keyboard": ("acoustic piano", "electric piano", "harpsichord", "organ"),
    "vocals": ("solo singing", "choir"),
}
"""Tags that stand for several of the listener's classes."""

OWN_VOCABULARIES = (
    Vocabulary("mtat", _MTAT),
    Vocabulary("jamendo", _JAMENDO),
    Vocabulary("msd", _MSD),
    Vocabulary(
        "rendered", (*RENDERED_CLASSES, *RENDERED_FAMILIES), RENDERED_CLASSES, families=RENDERED_FAMILIES
    ),
    AUDIOSET,
    Vocabulary("clap", (), is_open=True),
    Vocabulary("pe", (), is_open=True),
)
"""TagBox's own, named by its entry point."""

VOCABULARIES = Installed(discovery.VOCABULARIES, Vocabulary)
"""Every vocabulary that is installed, by name."""


class _TagsByVocabulary(Mapping[str, tuple[str, ...]]):
    """A field of every installed vocabulary by its name, left out where it is empty."""

    def __init__(self, select: Callable[[Vocabulary], tuple[str, ...]]) -> None:
        self._select = select

    def __getitem__(self, name: str) -> tuple[str, ...]:
        tags = self._select(VOCABULARIES[name])
        if not tags:
            raise KeyError(name)
        return tags

    def __iter__(self) -> Iterator[str]:
        return (name for name, each in VOCABULARIES.items() if self._select(each))

    def __len__(self) -> int:
        return sum(1 for _ in self)


TAGS: Mapping[str, tuple[str, ...]] = _TagsByVocabulary(lambda vocabulary: vocabulary.tags)
"""By vocabulary, its tags; an open one has none."""

EXCLUSIVE: Mapping[str, tuple[str, ...]] = _TagsByVocabulary(lambda vocabulary: vocabulary.exclusive)
"""By vocabulary, where taggers predict shares of energy: the tags whose shares add up to one."""


def is_open(data: str) -> bool:
    """Return whether any word can be asked for in the vocabulary `data`."""
    return data in VOCABULARIES and VOCABULARIES[data].is_open


def predicts_shares(data: str) -> bool:
    """Return whether taggers of the vocabulary `data` predict shares of energy, which add up to one.

    Those of an open vocabulary do: they compare the words of the run with each other.
    """
    return data in EXCLUSIVE or is_open(data)


def members(tag: str, data: str) -> tuple[str, ...]:
    """Return the exclusive tags of which `tag` of the vocabulary `data` consists.

    >>> members("synth", "rendered"), members("flute", "rendered")
    (('synth lead', 'synth pad'), ('flute',))
    """
    return VOCABULARIES[data].families.get(tag, (tag,))
