"""How the published TagBox code reads tags, so that its preset can be as wrong as it was.

The models of MTG-Jamendo were trained with their labels in alphabetical order; the code lists them in
another one (that of the data set's file), so that its "violin" steers the models' "electric piano". And its
"sitar" for MagnaTagATune is one place off.
"""

from collections.abc import Sequence

from tagbox.tags.resolve import meaning
from tagbox.tags.vocabularies import TAGS

JAMENDO_ORDER = (
    "genre---downtempo", "genre---ambient", "genre---rock", "instrument---synthesizer", "genre---atmospheric",
    "genre---indie", "instrument---electricpiano", "genre---newage", "instrument---strings",
    "instrument---drums", "instrument---drummachine", "genre---techno", "instrument---guitar",
    "genre---alternative", "genre---easylistening", "genre---instrumentalpop", "genre---chillout",
    "genre---metal", "mood/theme---happy", "genre---lounge", "genre---reggae", "genre---popfolk",
    "genre---orchestral", "instrument---acousticguitar", "genre---poprock", "instrument---piano",
    "genre---trance", "genre---dance", "instrument---electricguitar", "genre---soundtrack", "genre---house",
    "genre---hiphop", "genre---classical", "mood/theme---energetic", "genre---electronic", "genre---world",
    "genre---experimental", "instrument---violin", "genre---folk", "mood/theme---emotional",
    "instrument---voice", "instrument---keyboard", "genre---pop", "instrument---bass",
    "instrument---computer", "mood/theme---film", "genre---triphop", "genre---jazz", "genre---funk",
    "mood/theme---relaxing",
)  # fmt: skip


def published_meaning(word: str, data: str) -> tuple[str, ...]:
    """The tags, rightly named, that the published code steers when it is asked for `word`.

    Raises:
        TagBoxError: the vocabulary `data` cannot express the word.
    """
    meant = meaning(word, data)
    if data == "jamendo":
        return tuple(TAGS["jamendo"][JAMENDO_ORDER.index(tag)] for tag in meant)
    if data == "mtat":
        return tuple("solo" if tag == "sitar" else tag for tag in meant)
    return meant


def published_names(words: Sequence[str], data: str) -> tuple[str, ...]:
    """The union of what `words` steer in the published code, each tag once."""
    return tuple(dict.fromkeys(tag for word in words for tag in published_meaning(word, data)))
