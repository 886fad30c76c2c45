"""What taggers hear in a recording: over the whole of it, window by window, each and together."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tagbox.audio.arrays import as_channels
from tagbox.audio.resampling import resample, to_mono
from tagbox.errors import TagBoxError
from tagbox.models import load_tagger
from tagbox.taggers import windows
from tagbox.taggers.tagger import Tagger, predict_logits

EMBEDDED = (("pons-musicnn", "mtat"),)
QUIETEST = 1e-4  # peak; -80 dB. Below it there is dither at best, and taggers rename noise.
SHORTEST = 0.1  # seconds; less is a click, and repeating it makes a tone that is not in it.
BATCH_SECONDS = 30  # of audio in one pass: bounds the memory, whatever the length of the recording


@dataclass(frozen=True, eq=False)
class TagPredictions:
    """What one tagger, or several of one vocabulary in the mean, heard.

    Attributes:
        name: of the tagger as data/architecture, or of the mean.
        data: the vocabulary.
        tags: its tags, in the order of the outputs.
        probabilities: (tags,), the mean over the windows.
        windows: (windows, tags).
        spans: of each window, where it starts and ends in the recording (s).
    """

    name: str
    data: str
    tags: tuple[str, ...]
    probabilities: Tensor
    windows: Tensor
    spans: tuple[tuple[float, float], ...]

    def top(self, count: int, window: int | None = None) -> dict[str, float]:
        """The `count` most probable tags of the recording, or of one window, the most probable first."""
        values = self.probabilities if window is None else self.windows[window]
        best = torch.argsort(values, descending=True, stable=True)[:count]
        return {self.tags[i]: float(values[i]) for i in best.tolist()}


def tag(
    audio: ArrayLike | Tensor,
    rate: int,
    taggers: Sequence[tuple[str, str]] = EMBEDDED,
    top: int = 10,
    padding: str = "repeat",
    device: str = "cpu",
) -> dict[str, float]:
    """The tags that are heard in `audio`, the most probable first.

    Args:
        audio: (samples,) or (channels, samples), full scale at -1 and 1.
        rate: Hz.
        taggers: each as (architecture, data), for example ("fcn", "jamendo"). A tag's probability is the mean
            over the taggers that know it.
        top: how many tags.
        padding: what fills a window that the recording does not: "repeat" (the recording again) or "zeros".
        device: where the taggers run.

    Raises:
        TagBoxError: the audio is silent, too short, not finite or of another shape, or a tagger is not there.

    >>> import torch
    >>> noise = 0.1 * torch.randn(2, 3 * 44100, generator=torch.Generator().manual_seed(0))
    >>> heard = tag(noise, 44100, top=3)
    >>> len(heard)
    3
    """
    samples = as_channels(audio)
    check_audible(samples, rate)
    heard = predict_windows(
        samples, rate, [load_tagger(name, data, device) for name, data in taggers], padding
    )
    known: dict[str, list[float]] = {}
    for one in heard:
        for name, probability in one.top(len(one.tags)).items():
            known.setdefault(name, []).append(probability)
    means = {name: sum(values) / len(values) for name, values in known.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1])[:top])


def predict_windows(
    samples: Tensor,
    rate: int,
    taggers: Sequence[Tagger],
    padding: str = "repeat",
    on_progress: Callable[[float], None] = lambda share: None,
) -> list[TagPredictions]:
    """What each of `taggers` hears in `samples` (channels, samples) at `rate` Hz; no gradients.

    Taggers with the same rate and window listen together, so that spectrograms they share are computed once.
    `on_progress` is told the share that is done.

    Raises:
        TagBoxError: there is nothing to hear (see `check_audible`).
    """
    check_audible(samples, rate)
    mono = to_mono(samples)[None]
    duration = samples.shape[-1] / rate
    alike: dict[tuple[int, int, torch.device], list[Tagger]] = {}
    for tagger in taggers:
        alike.setdefault((tagger.rate, tagger.window, tagger.device), []).append(tagger)
    found: dict[int, TagPredictions] = {}
    for (tagger_rate, window, device), group in alike.items():
        pieces = windows.cut(resample(mono, rate, tagger_rate), window, window, padding)[0].to(device)
        batch = max(1, round(BATCH_SECONDS * tagger_rate / window))
        parts: list[list[Tensor]] = [[] for _ in group]
        for at in range(0, len(pieces), batch):
            with torch.no_grad():
                logits = predict_logits(group, pieces[at : at + batch], padding)
            for part, one in zip(parts, logits, strict=True):
                part.append(torch.sigmoid(one[:, 0]).cpu())
            share = min(1.0, (at + batch) / len(pieces))
            on_progress((len(found) + share * len(group)) / len(taggers))
        length = window / tagger_rate
        spans = tuple((i * length, min((i + 1) * length, duration)) for i in range(len(pieces)))
        for tagger, part in zip(group, parts, strict=True):
            each = torch.cat(part)
            name = f"{tagger.data}/{tagger.name}"
            found[id(tagger)] = TagPredictions(name, tagger.data, tagger.tags, each.mean(0), each, spans)
    return [found[id(tagger)] for tagger in taggers]


def average_by_vocabulary(heard: Sequence[TagPredictions]) -> list[TagPredictions]:
    """The mean over the taggers of each vocabulary that several of them share; windows are left out."""
    by_data: dict[str, list[TagPredictions]] = {}
    for one in heard:
        by_data.setdefault(one.data, []).append(one)
    return [
        TagPredictions(
            f"{data}/mean",
            data,
            group[0].tags,
            torch.stack([one.probabilities for one in group]).mean(0),
            torch.empty(0, len(group[0].tags)),
            (),
        )
        for data, group in by_data.items()
        if len(group) > 1
    ]


def check_audible(samples: Tensor, rate: int) -> None:
    """Raise `TagBoxError` where taggers have nothing to hear in `samples` (channels, samples).

    They answer silence, a click and a constant with confident tags, so those are refused instead.
    """
    duration = samples.shape[-1] / rate
    if duration < SHORTEST:
        raise TagBoxError(
            f"lasts {_seconds(samples.shape[-1], rate)}, too short to hear anything in; "
            f"give {SHORTEST:g} s or more"
        )
    # A constant is silence, however large.
    swing = samples - samples.mean(dim=-1, keepdim=True)
    peak = float(swing.abs().max())
    if not math.isfinite(peak):
        raise TagBoxError("has values that are not finite (NaN or infinity); export the recording again")
    if peak < QUIETEST:
        level = (
            f"peaks at {20 * math.log10(peak):.0f} dB" if peak > 1e-12 else "nothing but zeros or a constant"
        )
        raise TagBoxError(
            f"is silent ({level}), so there is nothing to tag; give another excerpt or recording"
        )


def _seconds(samples: int, rate: int) -> str:
    return f"{samples / rate:.3g} s ({samples} sample{'s' * (samples != 1)})"


def _device(tagger: Tagger) -> torch.device:
    return next(tagger.network.parameters()).device


def predict_recording(
    taggers: Sequence[Tagger], channels: Tensor, rate: int, padding: str = "repeat"
) -> list[Tensor]:
    """Predict the tags of `channels` (channels, samples): for each tagger probabilities (tags,).

    Args:
        taggers: all at one rate.
        rate: of `channels`, Hz.
    """
    with torch.no_grad():
        mono = resample(channels.to(taggers[0].device).mean(dim=0, keepdim=True), rate, taggers[0].rate)
        predictions = predict_logits(taggers, mono, padding=padding)
        return [torch.sigmoid(logits)[0].mean(dim=0).cpu() for logits in predictions]
