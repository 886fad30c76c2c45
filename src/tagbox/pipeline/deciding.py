"""Decide anew about a recording that was analysed once.

The first pass over a recording separates each segment and keeps what was found out about it. Every later pass
takes that, and what corrections change, instead of factorising and asking networks again.
"""

import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from tagbox.audio.readers import Reader
from tagbox.audio.segments import Segment
from tagbox.audio.writers import Writer
from tagbox.errors import TagBoxError
from tagbox.methods.analysis import Adjustments, Analysis, Masks, analysis_of, tensors_of
from tagbox.methods.lessons import Points, patch_features, points_of
from tagbox.methods.separators import (
    Correctable,
    Preparation,
    RecordingSurvey,
    Separated,
    Separator,
    SilentSources,
    infers_gates,
)
from tagbox.methods.task import Task
from tagbox.pipeline.streaming import OnSegment, Plan, StreamReport, plan_stream, separate_stream
from tagbox.settings import Settings
from tagbox.taggers.networks.share_unet import GRID
from tagbox.tags.vocabularies import is_open

MEMORY_BYTES = 256 << 20
"""Analyses take about 20 MB for half a minute of one source; beyond this they go to a temporary folder."""


class AnalysisStore:
    """The analyses of a recording's segments by number; what memory has no room for is in files.

    Args:
        memory_bytes: how much to keep in memory.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._held: OrderedDict[int, Analysis] = OrderedDict()
        self._numbers: set[int] = set()
        self._files = ExitStack()
        self._folder: Path | None = None
        self._close = weakref.finalize(self, self._files.close)

    def __contains__(self, number: int) -> bool:
        return number in self._numbers

    def __getitem__(self, number: int) -> Analysis:
        """Return the analysis of the segment of this number."""
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        analysis = analysis_of(torch.load(self._file(number), weights_only=True))
        self._hold(number, analysis)
        return analysis

    def __setitem__(self, number: int, analysis: Analysis) -> None:
        self._numbers.add(number)
        self._hold(number, analysis)

    def close(self) -> None:
        """Remove the files; the store is empty then."""
        self._held.clear()
        self._numbers.clear()
        self._close()

    def _hold(self, number: int, analysis: Analysis) -> None:
        self._held[number] = analysis
        while len(self._held) > 1 and sum(each.bytes for each in self._held.values()) > self._memory_bytes:
            oldest, spilled = self._held.popitem(last=False)
            if not self._file(oldest).exists():
                torch.save(tensors_of(spilled), self._file(oldest))

    def _file(self, number: int) -> Path:
        if self._folder is None:
            made = tempfile.TemporaryDirectory(prefix="tagbox-", ignore_cleanup_errors=True)
            self._folder = Path(self._files.enter_context(made))
        return self._folder / f"{number}.pt"


@dataclass(frozen=True, eq=False)
class Analysed:
    """A recording that was separated once, and what its decisions rest on.

    Attributes:
        reader: of the recording.
        task: the sources, settings and models.
        plan: its segments, and the separator that was prepared for them.
        analyses: by the number of the segment; silent segments have none.
        points: likewise, what is learnt from.
    """

    reader: Reader
    task: Task
    plan: Plan
    analyses: AnalysisStore
    points: Mapping[int, Points]

    @property
    def separator(self) -> Correctable:
        """The separator that decides."""
        return require_correctable(self.plan.preparation.separator, self.task)

    @property
    def seconds(self) -> float:
        """Length of the recording, s."""
        return self.plan.samples / self.reader.rate

    def start_of(self, segment: Segment) -> float:
        """Return where a segment's mixture begins, s."""
        return segment.read_start / self.reader.rate

    def numbers(self, start: float, stop: float) -> list[int]:
        """Return the numbers of the segments that are heard between `start` and `stop` (s)."""
        rate = self.reader.rate
        return [
            number
            for number, segment in enumerate(self.plan.segments)
            if segment.start < stop * rate and segment.stop > start * rate
        ]


def require_correctable(separator: Separator, task: Task) -> Correctable:
    """Return a separator that can be corrected.

    Raises:
        TagBoxError: it is none.
    """
    if not isinstance(separator, Correctable):
        raise TagBoxError(
            f"what {task.settings.steer} separates cannot be corrected; take a preset that decides about "
            "components or by the share network, such as default"
        )
    return separator


def can_correct(settings: Settings) -> bool:
    """Tell, before any model is loaded, whether what TagBox's own methods separate can be corrected."""
    return settings.steer == "shares" or (
        settings.steer in ("gates", "shares+gates") and infers_gates(settings)
    )


def analyse_recording(
    reader: Reader,
    task: Task,
    writer: Writer,
    on_segment: OnSegment | None = None,
    predicts: bool = True,
    earlier: Analysed | None = None,
) -> tuple[Analysed, StreamReport]:
    """Separate a recording into `writer`, and keep what the decisions rest on.

    Args:
        reader: of the recording.
        task: the sources, settings and models.
        writer: of the results.
        on_segment: told how many segments are done, of how many.
        predicts: whether taggers are asked about the results.
        earlier: the same recording, analysed for other sources; what does not depend on them is taken over.

    Raises:
        TagBoxError: the recording is damaged, or the method's decisions cannot be corrected.
    """
    plan = plan_stream(reader, task)
    separator = require_correctable(plan.preparation.separator, task)
    known = earlier.analyses if earlier is not None and _takes_over(earlier, task) else None
    store, points = AnalysisStore(), dict[int, Points]()
    numbers = {segment: number for number, segment in enumerate(plan.segments)}

    def keep(_: Separator, segment: Segment) -> Separator:
        number, start = numbers[segment], segment.read_start / reader.rate
        analysis = known[number] if known is not None and number in known else None
        return _Keeping(separator, store, points, task, number, start, analysis)

    report = separate_stream(
        reader, task, writer, on_segment=on_segment, plan=plan, choose=keep, predicts=predicts
    )
    return Analysed(reader, task, plan, store, points), report


def _takes_over(earlier: Analysed, task: Task) -> bool:
    """Tell whether an analysis holds for the sources of `task` too: open vocabularies hear other words."""
    return earlier.task.settings == task.settings and not any(is_open(each.data) for each in task.taggers)


def decide_again(
    analysed: Analysed,
    adjustments: Mapping[int, Adjustments],
    writer: Writer,
    numbers: list[int] | None = None,
    on_segment: OnSegment | None = None,
    predicts: bool = False,
) -> StreamReport:
    """Separate a recording that was analysed anew.

    Args:
        analysed: by `analyse_recording`.
        adjustments: by the number of the segment.
        writer: of the sources and the residual.
        numbers: neighbouring segments, where only these are wanted.
        on_segment: told how many segments are done, of how many.
        predicts: whether taggers are asked about the results.
    """
    plan, separator = analysed.plan, analysed.separator
    by_segment = {segment: number for number, segment in enumerate(plan.segments)}
    if numbers is not None:
        plan = replace(plan, segments=tuple(plan.segments[number] for number in numbers))

    def choose(_: Separator, segment: Segment) -> Separator:
        number = by_segment[segment]
        if number not in analysed.analyses:
            return SilentSources(analysed.task.sources)
        return _Deciding(separator, analysed.analyses[number], adjustments.get(number, Adjustments()))

    return separate_stream(
        analysed.reader,
        analysed.task,
        writer,
        on_segment=on_segment,
        plan=plan,
        choose=choose,
        predicts=predicts,
    )


def points_of_segment(task: Task, analysis: Analysis, masks: Masks, start: float) -> Points:
    """Choose what is learnt from in a segment that begins at `start` (s)."""
    columns = -(-masks.values.shape[-1] // GRID.frames_per_patch)
    features = patch_features(analysis, columns)
    return points_of(masks, features, start, task.rate)


@dataclass(frozen=True, eq=False)
class _Keeping:
    """Separate a segment, and keep its analysis, or the one that is known already."""

    separator: Correctable
    store: AnalysisStore
    points: dict[int, Points]
    task: Task
    number: int
    start: float
    known: Analysis | None = None
    batchable: bool = False

    def prepare(self, survey: RecordingSurvey) -> Preparation:
        """Do nothing: the separator is prepared already."""
        return Preparation(self)

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Separate `mixture` (channels, samples)."""
        if self.known is None:
            analysis, masks, separated = self.separator.analyse_and_separate(mixture)
        else:
            analysis, masks, estimates = self.separator.decide(self.known, mixture)
            separated = (estimates, ())
        self.store[self.number] = analysis
        self.points[self.number] = points_of_segment(self.task, analysis, masks, self.start)
        return separated


@dataclass(frozen=True, eq=False)
class _Deciding:
    """Decide about a segment that was analysed."""

    separator: Correctable
    analysis: Analysis
    adjustments: Adjustments
    batchable: bool = False

    def prepare(self, survey: RecordingSurvey) -> Preparation:
        """Do nothing: the separator is prepared already."""
        return Preparation(self)

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Separate `mixture` (channels, samples)."""
        masks = self.separator.masks(self.analysis, mixture, self.adjustments)
        return self.separator.apply(masks, mixture), ()
