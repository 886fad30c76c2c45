"""Read words as the published code reads them, so that its preset can keep its faults.

The models of MTG-Jamendo were trained with their labels in alphabetical order, but the published code lists
them in the order of the data set's file, so that its "violin" steers towards the electric piano. Its "sitar"
for MagnaTagATune is one place off and selects "solo".
"""

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
"""Jamendo's tags as the published code numbers them."""


def published_meaning(word: str, data: str) -> tuple[str, ...]:
    """Return the tags, by their true names, towards which the published code steers for `word`.

    Raises:
        UnknownTagError: the vocabulary `data` cannot express the word.
    """
    tags = meaning(word, data)
    if data == "jamendo":
        return tuple(TAGS["jamendo"][JAMENDO_ORDER.index(tag)] for tag in tags)
    if data == "mtat":
        return tuple("solo" if tag == "sitar" else tag for tag in tags)
    return tags
