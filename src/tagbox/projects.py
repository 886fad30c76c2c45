"""A session with a recording: separate it, say what is wrong, and hear the result at once.

    project = tagbox.open("song.flac")
    project.separate(["violin", "piano"])
    project.correct(Is("violin", 3.0, 5.5), IsNot("violin", 8.0, 9.2))
    project.undo()

A recording is factorised, and networks are asked, once; corrections and other tags decide anew. The
same corrections of the same recording give the same samples.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor

from tagbox import corrections as kinds
from tagbox import presets
from tagbox.api import MIN_SAMPLES, describe_listeners, describe_residual, describe_separation
from tagbox.audio.arrays import as_channels, check_rate
from tagbox.audio.readers import FileReader, Reader, TensorReader
from tagbox.audio.validation import fingerprint
from tagbox.audio.writers import OnAudio, OverheardWriter, TensorWriter
from tagbox.corrections import Correction
from tagbox.errors import TagBoxError, UnreadableRecordingError
from tagbox.free_text import choose_listeners
from tagbox.kernels.threads import threads_that_pay
from tagbox.memory import explain_out_of_memory
from tagbox.numerics import standard_numerics
from tagbox.pipeline.correcting import Decisions, adjustments_of, decided, gates_of_segment
from tagbox.pipeline.deciding import Analysed, analyse_recording, decide_again
from tagbox.pipeline.prepare import prepare_task
from tagbox.pipeline.streaming import OnSegment, StreamReport
from tagbox.results import Separation
from tagbox.settings import Settings
from tagbox.tags.query import as_queries, split_instrumental

MEMORY_SAMPLES = 1 << 26
"""Of all channels: a file of up to 12 minutes in stereo stays decoded in memory."""


@dataclass(frozen=True)
class Component:
    """A component of the recording.

    Attributes:
        segment: number of the segment in which it was found.
        number: in this segment.
        start: of the segment, s.
        stop: of the segment, s.
        hz: the middle of its spectrum.
        shares: by source and "residual", which share of it each has.
    """

    segment: int
    number: int
    start: float
    stop: float
    hz: float
    shares: dict[str, float]


class Project:
    """A recording that is separated and corrected; `tagbox.open` makes one.

    Attributes:
        preset: on which the settings are based.
        settings: of the separation.
    """

    def __init__(
        self, reader: Reader, preset: str, settings: Settings, device: str, source: dict[str, Any]
    ) -> None:
        self.preset = preset
        self.settings = settings
        self._reader = reader
        self._device = device
        self._source = source
        self._analysed: Analysed | None = None
        self._report: StreamReport | None = None
        self._instrumental: str | None = None
        self._result: Separation | None = None
        self._manifest: dict[str, Any] = {}
        self._done: list[Decisions] = []
        self._undone: list[Decisions] = []

    @property
    def rate(self) -> int:
        """Sample rate of the recording, Hz."""
        return self._reader.rate

    @property
    def seconds(self) -> float:
        """Length of the recording, s."""
        return self._reader.samples / self._reader.rate

    @property
    def tags(self) -> tuple[str, ...]:
        """The sources that were asked for; none before `separate`."""
        return () if self._analysed is None else self._analysed.task.queries

    @property
    def history(self) -> tuple[Correction, ...]:
        """The corrections in force, in the order in which they were made."""
        return self._done[-1].corrections if self._done else ()

    @property
    def undone(self) -> tuple[Correction, ...]:
        """What `redo` would bring back, the next one first."""
        return tuple(each.corrections[-1] for each in reversed(self._undone))

    @property
    def result(self) -> Separation:
        """The separation as it stands, computed where it has changed."""
        analysed = self._require()
        if self._result is None:
            # Masks and the inverse STFT are large operations.
            with threads_that_pay(many=True):
                self._result = self._compute(analysed)
        return self._result

    @explain_out_of_memory()
    @standard_numerics()
    def separate(
        self,
        tags: Sequence[str] | str,
        corrections: Sequence[Correction] = (),
        on_segment: OnSegment | None = None,
        on_audio: OnAudio | None = None,
    ) -> Separation:
        """Separate what `tags` name, as `tagbox.separate` does; earlier corrections are forgotten.

        Asked for other tags, it takes over what was found out about the recording, and reports no loss.

        Args:
            tags: see `tagbox.separate`.
            corrections: to make at once, for example those of a run.json.
            on_segment: where the recording is longer than a segment, told how many are done, of how many.
            on_audio: told the samples of the sources and the residual as they are finished, front to back.

        Raises:
            TagBoxError: a tag or a correction cannot be used; says which and what to do.
            OutOfMemoryError: the computation takes more memory than there is.
        """
        begin = time.monotonic()
        with threads_that_pay(many=False):
            queries, instrumental = split_instrumental(as_queries(tags))
            for correction in corrections:
                kinds.check(correction, queries, self.seconds)
            listeners = choose_listeners(queries, self.settings)
            task = prepare_task(queries, listeners.settings, self._device)
            loaded = time.monotonic()
            writer = TensorWriter(task.sources + 1, self._reader.channels, self._reader.samples)
            told = writer if on_audio is None else OverheardWriter(writer, on_audio)
            analysed, report = analyse_recording(self._reader, task, told, on_segment, earlier=self._analysed)
            self.close()
            self._analysed, self._report, self._instrumental = analysed, report, instrumental
            described = describe_separation(
                task, self.preset, self._reader, self._source, report, begin, loaded
            )
            described |= {**describe_residual(instrumental), **describe_listeners(listeners)}
            self._result = self._separation(writer, described)
            self._manifest = described
        return self.correct(*corrections) if corrections else self._result

    @explain_out_of_memory()
    @standard_numerics()
    def correct(self, *corrections: Correction) -> Separation:
        """Make corrections, one after the other, and return the result.

        Raises:
            TagBoxError: one cannot be made; says why. None of them is made then.
        """
        self.note(*corrections)
        return self.result

    @standard_numerics()
    def note(self, *corrections: Correction) -> None:
        """Make corrections as `correct` does, but compute nothing yet: `result` and `excerpt` will.

        Raises:
            TagBoxError: one cannot be made; says why. None of them is made then.
        """
        analysed = self._require()
        made: list[Decisions] = []
        with threads_that_pay(many=False):
            for correction in corrections:
                kinds.check(correction, analysed.task.queries, analysed.seconds)
                before = made[-1] if made else self._state
                made.append(decided(analysed, before, correction))
        if made:
            self._done += made
            self._undone.clear()
            self._result = None

    def undo(self) -> Separation:
        """Take the last correction back, and return the result.

        Raises:
            TagBoxError: there is none.
        """
        self._require()
        if not self._done:
            raise TagBoxError("there is no correction to undo")
        self._undone.append(self._done.pop())
        self._result = None
        return self.result

    def redo(self) -> Separation:
        """Make the correction again that was undone last, and return the result.

        Raises:
            TagBoxError: there is none.
        """
        self._require()
        if not self._undone:
            raise TagBoxError("there is no correction to redo")
        self._done.append(self._undone.pop())
        self._result = None
        return self.result

    @explain_out_of_memory()
    @standard_numerics()
    def excerpt(self, start: float, stop: float) -> dict[str, Tensor]:
        """Compute a part of the result alone, which is quicker in a long recording.

        Args:
            start: s.
            stop: s.

        Returns:
            each source and "residual", (channels, samples) from `start` to `stop`, the same samples as those
            of `result`.

        Raises:
            TagBoxError: the part lies outside of the recording.
        """
        analysed = self._require()
        first, last = round(start * self.rate), min(round(stop * self.rate), analysed.plan.samples)
        if not 0 <= first < last:
            raise TagBoxError(f"from {start:g} to {stop:g} s there is nothing of the recording")
        names = [*analysed.task.queries, "residual"]
        numbers = analysed.numbers(first / self.rate, last / self.rate)
        if self._result is not None or len(numbers) == len(analysed.plan.segments):
            tracks = [*self.result.sources.values(), self.result.residual]
            return {name: track[:, first:last] for name, track in zip(names, tracks, strict=True)}
        with threads_that_pay(many=True):
            begin = analysed.plan.segments[numbers[0]].start
            end = analysed.plan.segments[numbers[-1]].stop
            writer = TensorWriter(len(names), self._reader.channels, end - begin)
            decide_again(analysed, adjustments_of(analysed, self._state, numbers), writer, numbers)
        return {
            name: track[:, first - begin : last - begin]
            for name, track in zip(names, writer.values, strict=True)
        }

    def components(self, source: str | None = None) -> list[Component]:
        """List the components, those that have most of `source` first; all in their order unless given.

        Raises:
            TagBoxError: there is no such source.
        """
        analysed = self._require()
        names = [*analysed.task.queries, "residual"]
        if source is not None and source not in names:
            raise TagBoxError(f"no source is called {source!r}; the sources here are {', '.join(names)}")
        found = []
        for number, segment in enumerate(analysed.plan.segments):
            if number not in analysed.analyses:
                continue
            gates, hz = gates_of_segment(analysed, self._state, number)
            for component, shares in enumerate(gates.T.tolist()):
                found.append(
                    Component(
                        number,
                        component,
                        segment.start / self.rate,
                        segment.stop / self.rate,
                        round(float(hz[component]), 1),
                        dict(zip(names, shares, strict=True)),
                    )
                )
        if source is not None:
            found.sort(key=lambda each: -each.shares[source])
        return found

    def save(
        self,
        folder: str | Path,
        format: str = "wav",
        bits: str | None = None,
        force: bool = False,
    ) -> list[Path]:
        """Write a file for each source, the residual and run.json, with the corrections, into `folder`.

        The arguments and errors are those of `tagbox.Separation.save`.
        """
        return self.result.save(folder, format, bits, force)

    def close(self) -> None:
        """Forget the separation and its corrections; the recording can be separated again."""
        if self._analysed is not None:
            self._analysed.analyses.close()
        self._analysed, self._report, self._result = None, None, None
        self._done, self._undone = [], []

    @property
    def _state(self) -> Decisions:
        return self._done[-1] if self._done else Decisions()

    def _require(self) -> Analysed:
        if self._analysed is None:
            raise TagBoxError("nothing has been separated yet; call separate(tags) first")
        return self._analysed

    @explain_out_of_memory()
    @standard_numerics()
    def _compute(self, analysed: Analysed) -> Separation:
        begin = time.monotonic()
        writer = TensorWriter(analysed.task.sources + 1, self._reader.channels, self._reader.samples)
        report = decide_again(analysed, adjustments_of(analysed, self._state), writer)
        described = {**self._manifest, "presence": report.presence}
        if self.history:
            seconds = {"correcting": round(time.monotonic() - begin, 3)}
            # What taggers predict for the sources is not asked anew for every correction.
            mixture = {"mixture": described["probabilities"]["mixture"]}
            described |= {
                "corrections": kinds.to_json(self.history),
                "probabilities": mixture,
                "seconds": {**described["seconds"], **seconds},
            }
        return self._separation(writer, described)

    def _separation(self, writer: TensorWriter, described: dict[str, Any]) -> Separation:
        analysed, report = self._require(), self._report
        assert report is not None
        values = writer.values[..., : analysed.plan.samples]
        sources = dict(zip(analysed.task.queries, values[:-1], strict=True))
        return Separation(sources, values[-1], self.rate, report.runs, described)


def open_project(
    audio: ArrayLike | Tensor | str | Path,
    rate: int | None = None,
    preset: str = "default",
    device: str = "auto",
    start: float = 0.0,
    duration: float | None = None,
    **overrides: Any,
) -> Project:
    """Open a recording to separate and correct it.

    Args:
        audio: a file; or an array, (samples,) or (channels, samples).
        rate: of the array, Hz; a file says its own.
        preset: see `tagbox.presets.PRESETS`.
        device: "auto", "cpu", "cuda" or "mps".
        start: of a file, where to begin, s.
        duration: of a file, how much, s; all unless given.
        overrides: any field of `tagbox.presets.Settings`.

    Raises:
        TagBoxError: the recording or a setting cannot be used, or the preset's results cannot be corrected.
    """
    settings = presets.override(presets.find(preset).settings, **overrides)
    reader: Reader
    if isinstance(audio, str | Path):
        header = FileReader.of(audio, start, duration)
        if header.samples < MIN_SAMPLES:
            raise UnreadableRecordingError(f"{audio} is too short to separate; give another recording")
        reader = header
        if header.samples * header.channels <= MEMORY_SAMPLES:
            (samples,) = header.read_spans([(0, header.samples)])
            reader = TensorReader(samples, header.rate, header.mask, header.note)
        path = Path(audio)
        known = {"file": path.name, "sha256": fingerprint(path), "start": start, "duration": duration}
        return Project(reader, preset, settings, device, known)
    if rate is None:
        raise TagBoxError("the rate of the samples is missing; for example tagbox.open(samples, 44100)")
    return Project(TensorReader(as_channels(audio), check_rate(rate)), preset, settings, device, {})
