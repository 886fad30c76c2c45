"""What of a long recording is listened to while it is steered: a digest no longer than a segment.

The rule: the recording is surveyed at evenly spread places. Half of the digest is spread over the recording,
one stretch from each of as many equal parts: the one in which a wanted tag is heard most. The other half is
the stretches in which a wanted tag is heard most anywhere. The tags take turns in both, and silence comes
last.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tagbox.audio import resample
from tagbox.cast import Cast
from tagbox.errors import TagBoxError
from tagbox.recordings import Recording, Spans
from tagbox.segments import fade
from tagbox.taggers.tagger import Tagger, listen

PLACES = 120
"""At most; six minutes of musicnn's windows. More would make a survey of an album a long job."""
STRETCHES = 8
"""A digest has at least so many."""
QUIETEST = 1e-4  # peak: -80 dB
AT_ONCE = 8
BLOCK = 1 << 18
FADE = 0.005  # s, at the ends of a stretch: a step is a click, and taggers hear clicks as drums


class Listener:
    """Hears stretches of a recording that goes by in blocks.

    Args:
        spans: the stretches, in samples, none beginning before the one before ends.
        rate: of the blocks, Hz.
    """

    def __init__(self, spans: Spans, rate: int, taggers: Sequence[Tagger], padding: str) -> None:
        self.spans = spans
        self.peaks: list[float] = []
        self.energies: list[float] = []
        self._rate = rate
        self._taggers = taggers
        self._padding = padding
        self._at = 0
        self._open: list[Tensor] = []
        self._whole: list[Tensor] = []
        self._heard: list[list[Tensor]] = [[] for _ in taggers]

    def pass_by(self, block: Tensor) -> None:
        """The next `block` (channels, samples) of the recording."""
        start, stop = self._at, self._at + block.shape[-1]
        self._at = stop
        while len(self.peaks) < len(self.spans):
            first, last = self.spans[len(self.peaks)]
            if first >= stop:
                return
            self._open.append(block[:, max(0, first - start) : last - start].mean(dim=0))
            if last > stop:
                return
            stretch = torch.cat(self._open)
            self._open = []
            self.peaks.append(float(stretch.abs().amax()))
            self.energies.append(float(stretch.square().sum()))
            self._whole.append(stretch)
            if len(self._whole) == AT_ONCE:
                self._listen()

    def probabilities(self) -> list[Tensor]:
        """For each tagger (stretches, tags), of the stretches that have gone by."""
        if self._whole:
            self._listen()
        return [torch.cat(heard) if heard else torch.zeros(0) for heard in self._heard]

    def _listen(self) -> None:
        device = next(self._taggers[0].network.parameters()).device
        # Stretches differ by a sample where their places were rounded.
        shortest = min(len(stretch) for stretch in self._whole)
        batch = torch.stack([stretch[:shortest] for stretch in self._whole]).to(device)
        self._whole = []
        with torch.no_grad():
            mono = resample(batch, self._rate, self._taggers[0].rate)
            answers = listen(self._taggers, mono, padding=self._padding)
        for heard, answer in zip(self._heard, answers, strict=True):
            heard.append(torch.sigmoid(answer).mean(dim=1).cpu())


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of a recording after it was read once.

    Attributes:
        samples: that there really are.
        peak: the largest absolute sample.
        spans: what was heard, in samples.
        heard: for each tagger its probabilities (spans, tags).
        scores: how much each wanted source is heard in each stretch, (sources, spans), below 0 in silence.
        energies: of the mono mix in each stretch, (spans,).
    """

    samples: int
    peak: float
    spans: tuple[tuple[int, int], ...]
    heard: tuple[Tensor, ...]
    scores: Tensor
    energies: Tensor


def places(samples: int, stretch: int, most: int = PLACES) -> list[tuple[int, int]]:
    """Stretches evenly spread over `samples`, as many as fit, `most` at the most."""
    count = max(1, min(most, samples // stretch))
    room = max(0, samples - stretch)
    starts = [i * room // (count - 1) for i in range(count)] if count > 1 else [room // 2]
    return [(start, min(samples, start + stretch)) for start in starts]


def stretch_seconds(taggers: Sequence[Tagger], segment: float) -> float:
    """The shortest tagger's window, or what fits often enough into a segment, in seconds."""
    return min(segment / STRETCHES, *(tagger.window / tagger.rate for tagger in taggers))


def survey(recording: Recording, cast: Cast, stretch: float, padding: str) -> Survey:
    """Read all of `recording` once and hear it at evenly spread places, `stretch` seconds each.

    Raises:
        TagBoxError: it is silent, damaged or holds values that are not finite.
    """
    spans = places(recording.samples, math.floor(stretch * recording.rate))
    listener = Listener(spans, recording.rate, cast.taggers, padding)
    samples, peak = 0, 0.0
    blocks = [(at, min(recording.samples, at + BLOCK)) for at in range(0, recording.samples, BLOCK)]
    for block in recording.stretches(blocks):
        if not block.shape[1]:
            break
        samples += block.shape[1]
        peak = max(peak, float(block.abs().amax()))
        listener.pass_by(block)
    if not peak:
        raise TagBoxError("the recording is silent; there is nothing in it to separate")
    heard = listener.probabilities()
    wanted = [target.cpu().bool() for target in cast.targets]
    scores = torch.stack(
        [
            torch.stack(
                [answer[:, target[source]].amax(dim=1) for answer, target in zip(heard, wanted, strict=True)]
            ).mean(dim=0)
            for source in range(len(cast.words))
        ]
    )
    quiet = torch.tensor(listener.peaks) < QUIETEST
    scores = scores - 2 * quiet.float()
    energies = torch.tensor(listener.energies)
    return Survey(samples, peak, tuple(spans[: len(quiet)]), tuple(heard), scores, energies)


def choose(scores: Tensor, count: int) -> list[int]:
    """Which `count` stretches make the digest, in their order in time, by scores (sources, stretches)."""
    sources, stretches = scores.shape
    count = min(count, stretches)
    parts = -(-count // 2)
    chosen: list[int] = []
    for part in range(parts):
        first, last = part * stretches // parts, (part + 1) * stretches // parts
        chosen.append(first + int(scores[part % sources, first:last].argmax()))
    for turn in range(count - parts):
        rest = scores[turn % sources].clone()
        rest[chosen] = -torch.inf
        chosen.append(int(rest.argmax()))
    return sorted(chosen)


def digest(recording: Recording, spans: Spans, rate: int) -> Tensor:
    """The stretches at `spans` one after the other, mono (samples,) at `rate` Hz."""
    pieces = []
    for stretch in recording.stretches(spans):
        piece = resample(stretch.mean(dim=0), recording.rate, rate)
        ends = fade(max(1, round(FADE * rate))).to(piece)
        piece = piece.clone()
        piece[: len(ends)] *= ends
        piece[len(piece) - len(ends) :] *= ends.flip(0)
        pieces.append(piece)
    return torch.cat(pieces)
