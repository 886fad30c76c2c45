"""Ask a judge, a tagger that no preset steers by, how probable a source is in a mixture and in an estimate.

Steering can fool the taggers that it minimises the loss of, but not a tagger that takes no part. The
probability of a query is that of the likeliest tag that it means. A silent estimate has probability 0,
whatever a network would predict for zeros.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from torch import Tensor

from tagbox.audio.arrays import check_audible
from tagbox.errors import TagBoxError
from tagbox.models import load_tagger
from tagbox.taggers.names import TaggerName
from tagbox.taggers.tagger import Tagger
from tagbox.tagging import predict_windows
from tagbox.tags.query import target_tags
from tagbox.weights import store

JUDGES = ("mtat/pons-vgg", "mtat/pons-musicnn")
"""The judges that need no download, the first choice first."""


def default_judge(steering_taggers: Sequence[str]) -> str:
    """Return the first judge that no preset steers by.

    Args:
        steering_taggers: the taggers of all presets that are evaluated.

    Raises:
        TagBoxError: presets steer by all of them.
    """
    for name in JUDGES:
        if name not in steering_taggers:
            return name
    raise TagBoxError("every tagger that ships inside is in a loop; name another one with --judge")


def check_judge(judge: str, steering_taggers: Sequence[str]) -> None:
    """Check that no preset steers by `judge`, and load it.

    Raises:
        TagBoxError: a preset steers by it, or it cannot be loaded.
    """
    if judge in steering_taggers:
        raise TagBoxError(f"{judge} is in the loop of a preset and cannot judge it; name another --judge")
    _load_judge(judge)


def query_probability(judge: str, audio: Tensor, rate: int, query: str) -> float | None:
    """Return the probability that `judge` predicts for `query`; None where it has no word for the query.

    Args:
        judge: a tagger's name, as data/architecture.
        audio: (channels, samples).
        rate: sample rate, Hz.
    """
    try:
        tags = target_tags(query, store.vocabulary_of(judge))
    except TagBoxError:
        return None
    try:
        check_audible(audio, rate)
    except TagBoxError:
        return 0.0
    digest = hashlib.sha256(audio.contiguous().numpy().tobytes()).digest()
    probabilities = _predict_tags(judge, _HashedAudio(digest, rate, audio))
    return max(probabilities[tag] for tag in tags)


@dataclass(frozen=True)
class _HashedAudio:
    """Audio (channels, samples), compared by its digest: all cases of an excerpt have the same mixture."""

    digest: bytes
    rate: int
    audio: Tensor = field(compare=False, repr=False)


@lru_cache(maxsize=4)
def _predict_tags(judge: str, hashed: _HashedAudio) -> dict[str, float]:
    (predictions,) = predict_windows(hashed.audio, hashed.rate, [_load_judge(judge)])
    return dict(zip(predictions.tags, predictions.probabilities.tolist(), strict=True))


@lru_cache(maxsize=2)
def _load_judge(judge: str) -> Tagger:
    name = TaggerName.parse(judge)
    return load_tagger(name.architecture, name.data)
