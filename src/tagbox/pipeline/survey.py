"""Survey a long recording before it is separated: how loud it is, and what taggers predict along it.

The recording is surveyed at evenly spread excerpts. Those that represent it are no longer in total than one
segment: half of them are spread over the recording, one from each of as many equal parts, the one in which a
target tag is predicted most. The other half are those in which a target tag is predicted most anywhere. The
sources take turns in both, and silence comes last.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tagbox.audio.downmix import downmix
from tagbox.audio.readers import Reader, Spans
from tagbox.audio.resampling import resample
from tagbox.audio.segments import fade_in
from tagbox.methods.task import Task
from tagbox.taggers.tagger import Tagger, predict_logits

MAX_EXCERPTS = 120
"""Six minutes of musicnn's windows. More would make a survey of an album a long job."""
MIN_EXCERPTS_PER_SEGMENT = 8
SILENCE_PEAK = 1e-4
"""Excerpts that peak below it, at -80 dB, count as silent."""
EXCERPTS_PER_BATCH = 8
BLOCK_SAMPLES = 1 << 18
FADE_SECONDS = 0.005
"""At the ends of an excerpt: a step is a click, and taggers take clicks for drums."""


class ExcerptTagger:
    """Predicts the tags of excerpts of a recording that arrives in blocks.

    Args:
        spans: of the excerpts, in samples, none beginning before the one before ends.
        rate: of the blocks, Hz.
        taggers: at any rates.
        padding: of the taggers' windows.
    """

    def __init__(self, spans: Spans, rate: int, taggers: Sequence[Tagger], padding: str) -> None:
        self.spans = spans
        self.peaks: list[float] = []
        self.energies: list[float] = []
        self._rate = rate
        self._taggers = taggers
        self._padding = padding
        self._position = 0
        self._incomplete: list[Tensor] = []
        self._complete: list[Tensor] = []
        self._probabilities: list[list[Tensor]] = [[] for _ in taggers]

    def push(self, block: Tensor) -> None:
        """Take the next `block` (channels, samples) of the recording."""
        start, stop = self._position, self._position + block.shape[-1]
        self._position = stop
        while len(self.peaks) < len(self.spans):
            first, last = self.spans[len(self.peaks)]
            if first >= stop:
                return
            self._incomplete.append(block[:, max(0, first - start) : last - start])
            if last > stop:
                return
            excerpt = downmix(torch.cat(self._incomplete, dim=1))
            self._incomplete = []
            self.peaks.append(float(excerpt.abs().amax()))
            self.energies.append(float(excerpt.square().sum()))
            self._complete.append(excerpt)
            if len(self._complete) == EXCERPTS_PER_BATCH:
                self._predict()

    def probabilities(self) -> list[Tensor]:
        """Return for each tagger (excerpts, tags), of the excerpts that have arrived."""
        if self._complete:
            self._predict()
        return [torch.cat(each) if each else torch.zeros(0) for each in self._probabilities]

    def _predict(self) -> None:
        # Excerpts differ by a sample where their positions were rounded.
        shortest = min(len(excerpt) for excerpt in self._complete)
        batch = torch.stack([excerpt[:shortest] for excerpt in self._complete]).to(self._taggers[0].device)
        self._complete = []
        with torch.no_grad():
            predictions = predict_logits(self._taggers, batch, padding=self._padding, rate=self._rate)
        for probabilities, logits in zip(self._probabilities, predictions, strict=True):
            probabilities.append(torch.sigmoid(logits).mean(dim=1).cpu())


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of a recording after it was read once.

    Attributes:
        reader: of the recording.
        samples: that could be read.
        peak: the largest absolute sample.
        spans: of the excerpts, in samples.
        predictions: for each tagger its probabilities (excerpts, tags).
        scores: how much each source is predicted in each excerpt, (sources, excerpts), below 0 in silence.
        energies: of the mono mix in each excerpt, (excerpts,).
        representative: the positions among the excerpts of those that represent the recording.
    """

    reader: Reader
    samples: int
    peak: float
    spans: tuple[tuple[int, int], ...]
    predictions: tuple[Tensor, ...]
    scores: Tensor
    energies: Tensor
    representative: tuple[int, ...]

    def representative_audio(self, rate: int) -> Tensor:
        """Concatenate the excerpts that represent the recording, mono, (samples,) at `rate` Hz."""
        return concatenate_excerpts(self.reader, [self.spans[i] for i in self.representative], rate)

    @property
    def representative_seconds(self) -> list[list[float]]:
        """Where those excerpts begin and end, s."""
        rate = self.reader.rate
        return [[round(place / rate, 3) for place in self.spans[i]] for i in self.representative]


def excerpt_spans(samples: int, length: int, most: int = MAX_EXCERPTS) -> list[tuple[int, int]]:
    """Spread excerpts of `length` samples evenly over `samples`, as many as fit, `most` at the most."""
    count = max(1, min(most, samples // length))
    room = max(0, samples - length)
    starts = [i * room // (count - 1) for i in range(count)] if count > 1 else [room // 2]
    return [(start, min(samples, start + length)) for start in starts]


def excerpt_seconds(taggers: Sequence[Tagger], segment: float) -> float:
    """Return the shortest tagger's window, or what fits often enough into a `segment` (s), in seconds."""
    return min(segment / MIN_EXCERPTS_PER_SEGMENT, *(tagger.window / tagger.rate for tagger in taggers))


def survey_recording(reader: Reader, task: Task) -> Survey:
    """Read a whole recording once and predict the tags of excerpts.

    Raises:
        TagBoxError: it holds values that are not finite.
    """
    seconds = excerpt_seconds(task.taggers, task.settings.segment)
    spans = excerpt_spans(reader.samples, math.floor(seconds * reader.rate))
    tagger = ExcerptTagger(spans, reader.rate, task.taggers, task.settings.padding)
    samples, peak = 0, 0.0
    blocks = [
        (start, min(reader.samples, start + BLOCK_SAMPLES))
        for start in range(0, reader.samples, BLOCK_SAMPLES)
    ]
    for block in reader.read_spans(blocks):
        if not block.shape[1]:
            break
        samples += block.shape[1]
        peak = max(peak, float(block.abs().amax()))
        tagger.push(block)
    predictions = tagger.probabilities()
    is_target = [target.cpu().bool() for target in task.targets]
    scores = torch.stack(
        [
            torch.stack(
                [
                    probabilities[:, target[source]].amax(dim=1)
                    for probabilities, target in zip(predictions, is_target, strict=True)
                    # A tagger that does not hear the source has no tag for it.
                    if target[source].any()
                ]
            ).mean(dim=0)
            for source in range(task.sources)
        ]
    )
    silent = torch.tensor(tagger.peaks) < SILENCE_PEAK
    scores = scores - 2 * silent.float()
    return Survey(
        reader=reader,
        samples=samples,
        peak=peak,
        spans=tuple(spans[: len(silent)]),
        predictions=tuple(predictions),
        scores=scores,
        energies=torch.tensor(tagger.energies),
        representative=tuple(select_excerpts(scores, int(task.settings.segment / seconds))),
    )


def select_excerpts(scores: Tensor, count: int) -> list[int]:
    """Select `count` excerpts that represent a recording, in time order, by scores (sources, excerpts)."""
    sources, excerpts = scores.shape
    count = min(count, excerpts)
    parts = -(-count // 2)
    selected: list[int] = []
    for part in range(parts):
        first, last = part * excerpts // parts, (part + 1) * excerpts // parts
        selected.append(first + int(scores[part % sources, first:last].argmax()))
    for turn in range(count - parts):
        remaining = scores[turn % sources].clone()
        remaining[selected] = -torch.inf
        selected.append(int(remaining.argmax()))
    return sorted(selected)


def concatenate_excerpts(reader: Reader, spans: Spans, rate: int) -> Tensor:
    """Concatenate the excerpts at `spans`, mono (samples,) at `rate` Hz, with short fades at their ends."""
    excerpts = []
    for channels in reader.read_spans(spans):
        excerpt = resample(downmix(channels), reader.rate, rate)
        fade = fade_in(max(1, round(FADE_SECONDS * rate))).to(excerpt)
        excerpt = excerpt.clone()
        excerpt[: len(fade)] *= fade
        excerpt[len(excerpt) - len(fade) :] *= fade.flip(0)
        excerpts.append(excerpt)
    return torch.cat(excerpts)
