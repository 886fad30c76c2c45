"""Predict the tags of a recording, window by window, with one tagger or several."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tagbox.audio.arrays import as_channels, check_audible, check_rate
from tagbox.audio.downmix import downmix
from tagbox.audio.resampling import resample
from tagbox.free_text import check_words
from tagbox.memory import explain_out_of_memory
from tagbox.models import load_tagger
from tagbox.numerics import standard_numerics
from tagbox.taggers import windows
from tagbox.taggers.names import TaggerName
from tagbox.taggers.tagger import Tagger, predict_logits
from tagbox.tags.alternatives import compared_texts

DEFAULT_TAGGERS = (("pons-musicnn", "mtat"),)
"""As (architecture, data); ships with TagBox."""
BATCH_SECONDS = 30
"""How much audio one batch of windows holds: memory does not grow with the length of the recording."""


@dataclass(frozen=True, eq=False)
class TagPredictions:
    """The predictions of one tagger, or the mean of several that share a vocabulary.

    Attributes:
        name: of the tagger as data/architecture, or of the mean.
        data: the vocabulary.
        tags: of the vocabulary, in the order of the tagger's outputs.
        probabilities: (tags,), the mean over the windows.
        windows: (windows, tags).
        spans: start and end of each window in the recording, s.
    """

    name: str
    data: str
    tags: tuple[str, ...]
    probabilities: Tensor
    windows: Tensor
    spans: tuple[tuple[float, float], ...]

    def top(self, count: int, window: int | None = None) -> dict[str, float]:
        """Return the `count` most probable tags of the recording, or of one window, most probable first."""
        values = self.probabilities if window is None else self.windows[window]
        best = torch.argsort(values, descending=True, stable=True)[:count]
        return {self.tags[i]: float(values[i]) for i in best.tolist()}


@explain_out_of_memory()
@standard_numerics()
def tag(
    audio: ArrayLike | Tensor,
    rate: int,
    taggers: Sequence[tuple[str, str]] = DEFAULT_TAGGERS,
    top: int = 10,
    padding: str = "repeat",
    device: str = "cpu",
    words: Sequence[str] = (),
) -> dict[str, float]:
    """Predict the tags of `audio`; return the most probable first.

    Args:
        audio: (samples,) or (channels, samples), full scale at -1 and 1.
        rate: Hz.
        taggers: each as (architecture, data), for example ("fcn", "jamendo"). A tag's probability is the mean
            over the taggers whose vocabulary has it.
        top: how many tags.
        padding: what fills a window that the recording does not: "repeat" (the recording again) or "zeros".
        device: where the taggers run.
        words: what taggers that understand text listen for, beside common sounds.

    Raises:
        UnreadableRecordingError: the audio is silent, too short, not finite or of another shape.
        TagBoxError: there is no such tagger, or its weights are not on this machine.

    >>> import torch
    >>> noise = 0.1 * torch.randn(2, 3 * 44100, generator=torch.Generator().manual_seed(0))
    >>> len(tag(noise, 44100, top=3))
    3
    """
    samples, rate = as_channels(audio), check_rate(rate)
    check_audible(samples, rate)
    check_words(words, [str(TaggerName(data, name)) for name, data in taggers])
    texts = compared_texts(words)
    loaded = [load_tagger(name, data, device, texts) for name, data in taggers]
    predictions = predict_windows(samples, rate, loaded, padding)
    by_tag: dict[str, list[float]] = {}
    for each in predictions:
        for name, probability in each.top(len(each.tags)).items():
            by_tag.setdefault(name, []).append(probability)
    means = {name: sum(values) / len(values) for name, values in by_tag.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1])[:top])


def predict_windows(
    samples: Tensor,
    rate: int,
    taggers: Sequence[Tagger],
    padding: str = "repeat",
    on_progress: Callable[[float], None] = lambda share: None,
    subject: str = "the recording",
) -> list[TagPredictions]:
    """Predict the tags of a recording with each of `taggers`, without gradients.

    Taggers of one sample rate and window predict together, so that spectrograms they share are computed once.

    Args:
        samples: (channels, samples).
        rate: Hz.
        taggers: any.
        padding: what fills the last window, "repeat" or "zeros".
        on_progress: called with the share that is done, from 0 to 1.
        subject: what error messages call the recording.

    Returns:
        for each tagger, in the order given.

    Raises:
        UnreadableRecordingError: the recording has nothing to tag (see `check_audible`).
    """
    check_audible(samples, rate, subject)
    mono = downmix(samples)[None]
    duration = samples.shape[-1] / rate
    groups: dict[tuple[int, int, torch.device], list[Tagger]] = {}
    for tagger in taggers:
        groups.setdefault((tagger.rate, tagger.window, tagger.device), []).append(tagger)
    predictions: dict[int, TagPredictions] = {}
    for (tagger_rate, window, device), group in groups.items():
        resampled = resample(mono, rate, tagger_rate)
        cut = windows.cut_windows(resampled, window, window, padding)[0].to(device)
        batch_size = max(1, round(BATCH_SECONDS * tagger_rate / window))
        batches: list[list[Tensor]] = [[] for _ in group]
        for first in range(0, len(cut), batch_size):
            with torch.no_grad():
                logits = predict_logits(group, cut[first : first + batch_size], padding)
            for own_batches, own_logits in zip(batches, logits, strict=True):
                own_batches.append(torch.sigmoid(own_logits.flatten(0, 1)).cpu())
            share = min(1.0, (first + batch_size) / len(cut))
            on_progress((len(predictions) + share * len(group)) / len(taggers))
        for tagger, own_batches in zip(group, batches, strict=True):
            by_window = torch.cat(own_batches)
            seconds = tagger.prediction_samples / tagger_rate
            if tagger.hop is not None:
                # What is predicted for the padding of the last window alone is left out.
                by_window = by_window[: max(1, math.ceil(duration / seconds))]
            spans = tuple((i * seconds, min((i + 1) * seconds, duration)) for i in range(len(by_window)))
            predictions[id(tagger)] = TagPredictions(
                tagger.identifier, tagger.data, tagger.tags, by_window.mean(0), by_window, spans
            )
    return [predictions[id(tagger)] for tagger in taggers]


def average_by_vocabulary(predictions: Sequence[TagPredictions]) -> list[TagPredictions]:
    """Average the predictions of the taggers that share a vocabulary; the means have no windows.

    Vocabularies of a single tagger are left out.
    """
    by_data: dict[str, list[TagPredictions]] = {}
    for each in predictions:
        by_data.setdefault(each.data, []).append(each)
    return [
        TagPredictions(
            f"{data}/mean",
            data,
            group[0].tags,
            torch.stack([each.probabilities for each in group]).mean(0),
            torch.empty(0, len(group[0].tags)),
            (),
        )
        for data, group in by_data.items()
        if len(group) > 1
    ]


def predict_recording(
    taggers: Sequence[Tagger], channels: Tensor, rate: int, padding: str = "repeat"
) -> list[Tensor]:
    """Predict the tags of a whole recording; return each tagger's mean over its windows, (tags,).

    Args:
        taggers: at any rates.
        channels: (channels, samples).
        rate: of `channels`, Hz.
        padding: what fills the last window, "repeat" or "zeros".
    """
    with torch.no_grad():
        mono = downmix(channels.to(taggers[0].device))[None]
        predictions = predict_logits(taggers, mono, padding=padding, rate=rate)
        return [torch.sigmoid(logits)[0].mean(dim=0).cpu() for logits in predictions]
