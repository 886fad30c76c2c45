"""Tag one recording of a command line: what an engine does for each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tagbox.cli.batch import Outcome
from tagbox.cli.output import Output
from tagbox.cli.progress import ProgressDisplay, time_left
from tagbox.cli.recordings import as_named, spooled
from tagbox.errors import TagBoxError
from tagbox.parallel.engine import Progress, Report, Work
from tagbox.parallel.storage import Place
from tagbox.taggers.names import TaggerName

if TYPE_CHECKING:
    from tagbox.audio import Audio
    from tagbox.taggers.tagger import Tagger
    from tagbox.tagging import TagPredictions


@dataclass(frozen=True)
class TaggedRecording:
    """What is known of a recording that was tagged.

    Attributes:
        rate: Hz.
        channels: how many.
        duration: s.
        predictions: of each tagger.
    """

    rate: int
    channels: int
    duration: float
    predictions: "Sequence[TagPredictions]"


@dataclass(frozen=True)
class TagRecordings:
    """Tags recordings; an `engine.Prepare`.

    Attributes:
        taggers: by name.
        words: what those that understand text listen for.
        device: as given on the command line.
        padding: what fills the last window.
        start: of the excerpt, s.
        duration: of the excerpt, s; all unless given.
        count: how many tags the document has.
        over_time: whether it has the tags of each window.
        output: of the command.
        is_batch: whether what is printed is collected, because other recordings are worked on as well.
    """

    taggers: tuple[TaggerName, ...]
    words: tuple[str, ...]
    device: str
    padding: str
    start: float
    duration: float | None
    count: int
    over_time: bool
    output: Output
    is_batch: bool

    def __call__(self, threads: int | None) -> Work:
        """Load the taggers.

        Raises:
            TagBoxError: one cannot be loaded.
        """
        import torch

        from tagbox.kernels import devices
        from tagbox.models import load_tagger
        from tagbox.tags.alternatives import compared_texts

        if threads is not None:
            torch.set_num_threads(threads)
        selected = devices.select_device(self.device)
        texts = compared_texts(self.words)
        taggers = [load_tagger(name.architecture, name.data, selected, texts) for name in self.taggers]
        if threads is None:
            for each in taggers:
                loaded = f"loaded {each.identifier}, weights {each.weights_hash[:12]}, on {selected}"
                self.output.print_detail(loaded)
        return partial(_tag, self, taggers)


class _TaggingReporter(ProgressDisplay):
    """Progress of the tagging of one recording."""

    def __init__(self, name: str, output: Output) -> None:
        super().__init__(name, output)
        self._began = time.monotonic()

    def share(self, share: float) -> None:
        """Show the share of the windows that is done; the callback of the tagging."""
        if share < 1:
            left = time_left(time.monotonic() - self._began, share, 1.0)
            self.show(f"{share:.0%} tagged{left}", share, 1.0)


def _tag(options: TagRecordings, taggers: "Sequence[Tagger]", path: Place, report: Report) -> Outcome:
    """Tag a recording; a fault is told by the outcome."""
    from tagbox import audio
    from tagbox.tagging import predict_windows

    output = options.output.collecting() if options.is_batch else options.output
    began = time.monotonic()
    file: Place = path
    try:
        with spooled(path) as file:
            recording = audio.read(file, options.start, options.duration)
        shown = Output(quiet=True) if options.is_batch else output
        with _TaggingReporter(path.name, shown) as reporter:

            def on_progress(share: float) -> None:
                reporter.share(share)
                report(Progress(f"{share:.0%} tagged", share))

            predictions = predict_windows(
                recording.samples, recording.rate, taggers, options.padding, on_progress, subject=str(path)
            )
    except TagBoxError as error:
        fault = type(error)(as_named(error, file, path))
        return Outcome({"file": str(path), "error": str(fault)}, fault=fault)
    if recording.note is not None:
        output.print_note(recording.note)
    output.print_detail(f"{path}: {time.monotonic() - began:.1f} s")
    document = _document(path, recording, predictions, options.count, options.over_time)
    tagged = TaggedRecording(recording.rate, recording.channels, recording.duration, predictions)
    return Outcome(document, output.collected, value=tagged)


def _document(
    path: Place, recording: "Audio", predictions: "Sequence[TagPredictions]", count: int, over_time: bool
) -> dict[str, Any]:
    """Describe the tags of a recording for --json."""
    from tagbox.tagging import average_by_vocabulary

    taggers = []
    for each in predictions:
        entry: dict[str, Any] = {"tagger": each.name, "tags": _rounded(each.top(count))}
        if over_time:
            entry["windows"] = [
                {"start": round(start, 3), "end": round(end, 3), "tags": _rounded(each.top(count, i))}
                for i, (start, end) in enumerate(each.spans)
            ]
        taggers.append(entry)
    return {
        "file": str(path),
        "rate": recording.rate,
        "channels": recording.channels,
        "duration": recording.duration,
        **({} if recording.note is None else {"notes": [recording.note]}),
        "taggers": taggers,
        "mean": {each.data: _rounded(each.top(count)) for each in average_by_vocabulary(predictions)},
    }


def _rounded(probabilities: dict[str, float]) -> dict[str, float]:
    return {name: round(probability, 6) for name, probability in probabilities.items()}
