"""What a tagger that was not in the loop hears, before and after: the loop's own taggers can be fooled.

A word's probability is that of the likeliest of the tags that it means. Nothing is heard in silence: a silent
estimate has probability 0, whatever a network would answer to zeros.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from torch import Tensor

from tagbox import models
from tagbox.errors import TagBoxError
from tagbox.taggers.tagger import Tagger
from tagbox.tagging import check_audible, predict_windows
from tagbox.tags.resolve import can_express, meaning

JUDGES = ("mtat/pons-vgg", "mtat/pons-musicnn")
"""Who may judge without any download, the first choice first."""


def default_judge(in_the_loop: Sequence[str]) -> str:
    """A judge that none of the presets steers by.

    Raises:
        TagBoxError: all of them are in a loop.
    """
    for name in JUDGES:
        if name not in in_the_loop:
            return name
    raise TagBoxError("every tagger that ships inside is in a loop; name another one with --judge")


def check(judge: str, in_the_loop: Sequence[str]) -> None:
    """Refuse a judge that is a party.

    Raises:
        TagBoxError: it is in the loop, or cannot be loaded.
    """
    if judge in in_the_loop:
        raise TagBoxError(f"{judge} is in the loop of a preset and cannot judge it; name another --judge")
    _load(judge)


def probability(judge: str, audio: Tensor, rate: int, word: str) -> float | None:
    """How likely `judge` finds `word` in `audio` (channels, samples); None where it has no word for it."""
    data = judge.partition("/")[0]
    if data not in can_express(word):
        return None
    try:
        check_audible(audio, rate)
    except TagBoxError:
        return 0.0
    digest = hashlib.sha256(audio.contiguous().numpy().tobytes()).digest()
    heard = _hear(judge, _Sound(digest, rate, audio))
    return max(heard[tag] for tag in meaning(word, data))


@dataclass(frozen=True)
class _Sound:
    """Audio (channels, samples), known by its digest: every case of an excerpt has the same mixture."""

    digest: bytes
    rate: int
    audio: Tensor = field(compare=False, repr=False)


@lru_cache(maxsize=4)
def _hear(judge: str, sound: _Sound) -> dict[str, float]:
    (heard,) = predict_windows(sound.audio, sound.rate, [_load(judge)])
    return {tag: float(p) for tag, p in zip(heard.tags, heard.probabilities, strict=True)}


@lru_cache(maxsize=2)
def _load(judge: str) -> Tagger:

    data, slash, architecture = judge.partition("/")
    if not (data and slash and architecture):
        raise TagBoxError(f"{judge!r} does not name a tagger; write data/architecture, as mtat/pons-vgg")
    return models.load_tagger(architecture, data)
