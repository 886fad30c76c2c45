"""Where in a recording the sources play that were asked for, as a tagger hears it."""

from collections.abc import Sequence

import torch

from tagbox.errors import TagBoxError
from tagbox.models import load_tagger
from tagbox.presets import Settings
from tagbox.taggers.names import TaggerName
from tagbox.tagging import predict_windows
from tagbox.tags.query import target_tags
from tagbox.ui.tracks import Track

Presence = tuple[tuple[float, float, float], ...]
"""Windows as start and stop in seconds, with a probability."""


def presence_of(recording: Track, queries: Sequence[str], settings: Settings) -> dict[str, Presence]:
    """Predict for each query, window by window, how probable its most probable tag is in the recording.

    The first tagger of the settings predicts. Where it cannot, because the recording is silent or the tagger
    takes other words, nothing is said.
    """
    try:
        name = TaggerName.parse(settings.taggers[0])
        tagger = load_tagger(name.architecture, name.data)
        samples = torch.from_numpy(recording.read(0, recording.samples).T.copy())
        (heard,) = predict_windows(samples, recording.rate, [tagger], settings.padding, subject="the song")
        targets = {query: target_tags(query, heard.data, settings.vocabulary) for query in queries}
        indices = {query: [heard.tags.index(tag) for tag in tags] for query, tags in targets.items()}
    except (TagBoxError, ValueError):
        return {}
    return {
        query: tuple(
            (start, stop, round(float(probabilities[own].max()), 4))
            for (start, stop), probabilities in zip(heard.spans, heard.windows, strict=True)
        )
        for query, own in indices.items()
    }
