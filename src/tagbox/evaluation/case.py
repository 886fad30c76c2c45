"""One case of an evaluation: a system separates sources from an excerpt, and each estimate is measured."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tagbox.atomic_files import write_atomically
from tagbox.audio.files import append_samples, file_name, open_written, peak
from tagbox.audio.resampling import pad_or_trim
from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets.track import Track
from tagbox.evaluation.excerpts import Excerpt
from tagbox.evaluation.judge import query_probability
from tagbox.evaluation.metrics import Scores, energy_ratio, score_estimate, si_sdr, window_sdr
from tagbox.evaluation.systems import System, SystemInput, SystemOutput

ISOLATED_SI_SDR_DB = 30.0
"""SI-SDR of the mixture above which the source plays alone, and there is nothing to separate."""

MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
MAX_MP3_CHANNELS = 2

Record = dict[str, Any]
"""What is known of one estimate: a line of results.jsonl."""


@dataclass(frozen=True)
class MeasureOptions:
    """What is measured besides SI-SDR and SDR.

    Attributes:
        judge: a tagger's name, as data/architecture; "" for none.
        window_sdr: whether to measure BSS Eval v4's SDR.
        seed: of everything random.
    """

    judge: str
    window_sdr: bool
    seed: int


@dataclass(frozen=True)
class Case:
    """Sources of a track that one system is asked for at once.

    Attributes:
        track: where the sources are.
        queries: that ask for the sources.
        system: that separates them.
        audio_folder: where the estimates are written, to be heard in the report; None keeps none.
    """

    track: Track
    queries: tuple[str, ...]
    system: System
    audio_folder: Path | None = None

    @property
    def record_keys(self) -> tuple[str, ...]:
        """The keys of the case's records, one for each source."""
        return tuple(
            record_key(self.track.split, self.track.name, query, self.system.name) for query in self.queries
        )


def record_key(split: str, track: str, query: str, system: str) -> str:
    """Return the key that identifies a record among all records of an evaluation."""
    return "/".join(part for part in (split, track, query, system) if part)


def read_excerpt(case: Case, excerpt: Excerpt, seed: int) -> SystemInput:
    """Read the mixture and the references of an excerpt.

    Raises:
        TagBoxError: a recording cannot be read, or differs from the mixture in sample rate or channels.
    """
    track = case.track
    mixture = track.mixture.read(excerpt.start, excerpt.duration)
    references = {}
    notes = [mixture.note]
    for query in case.queries:
        stem = track.sources[query].read(excerpt.start, excerpt.duration)
        if (stem.rate, stem.channels) != (mixture.rate, mixture.channels):
            raise TagBoxError(
                f"{track.name}: the mixture has {mixture.channels} channels at {mixture.rate} Hz and "
                f"{query} {stem.channels} at {stem.rate}; stems and mixture must agree"
            )
        references[query] = pad_or_trim(stem.samples, mixture.samples.shape[-1])
        notes.append(stem.note)
    said = tuple(f"{track.name}: {note}" for note in notes if note is not None)
    return SystemInput(
        track.name, track.split, mixture.samples, mixture.rate, references, excerpt.start, seed, said
    )


def run_case(case: Case, excerpt: Excerpt | str, options: MeasureOptions) -> list[Record]:
    """Separate the excerpt, and measure each estimate: one record for each source.

    Args:
        excerpt: or, where the recording cannot be read, the reason.
    """
    if isinstance(excerpt, str):
        return _unreadable_records(case, excerpt)
    try:
        inputs = read_excerpt(case, excerpt, options.seed)
    except TagBoxError as error:
        return _unreadable_records(case, str(error))
    begin = time.monotonic()
    try:
        outputs = case.system.separate(inputs)
    except TagBoxError as error:
        outputs = SystemOutput({}, dict.fromkeys(case.queries, str(error)))
    seconds = (time.monotonic() - begin) / len(case.queries)
    return [
        _measure_source(case, query, excerpt, inputs, outputs, options, seconds) for query in case.queries
    ]


def measure_estimate(estimate: Tensor, query: str, excerpt: SystemInput, options: MeasureOptions) -> Record:
    """Measure `estimate` (channels, samples) of the source `query`.

    Returns:
        entries for the record of the estimate.

    Raises:
        TagBoxError: the estimate is not finite, or has another shape than the reference.
    """
    reference, mixture = excerpt.references[query], excerpt.mixture
    if not bool(reference.any()):
        return {"status": "silent reference", "leak": round(energy_ratio(estimate, mixture), 3)}
    scores = score_estimate(estimate, reference, mixture)
    if si_sdr(mixture, reference) > ISOLATED_SI_SDR_DB:
        return {"status": "plays alone", "si_sdr": round(scores.si_sdr, 4)}
    return {
        "status": "ok",
        "silent": not bool(estimate.any()),
        **_rounded(scores),
        "residual": _rounded(score_estimate(mixture - estimate, reference, mixture)),
        **(_measure_windows(estimate, reference, mixture, excerpt.rate) if options.window_sdr else {}),
        **(_ask_judge(options.judge, estimate, query, excerpt) if options.judge else {}),
    }


def _describe_source(case: Case, query: str) -> Record:
    return {
        "key": record_key(case.track.split, case.track.name, query, case.system.name),
        "track": case.track.name,
        "split": case.track.split,
        "source": query,
        "method": case.system.name,
        "kind": case.system.kind,
    }


def _unreadable_records(case: Case, reason: str) -> list[Record]:
    return [_describe_source(case, query) | {"status": "unreadable", "why": reason} for query in case.queries]


def _measure_source(
    case: Case,
    query: str,
    excerpt: Excerpt,
    inputs: SystemInput,
    outputs: SystemOutput,
    options: MeasureOptions,
    seconds: float,
) -> Record:
    """Return the record of one source; `seconds` is the time that the system took for it."""
    record = _describe_source(case, query) | {
        "start": excerpt.start,
        "seconds": round(excerpt.duration, 6),
        "plays": round(excerpt.active_share, 3),
        **({"notes": list(inputs.notes)} if inputs.notes else {}),
    }
    if query in outputs.missing:
        return record | {"status": "missing", "why": outputs.missing[query]}
    estimate = outputs.estimates[query]
    try:
        record |= measure_estimate(estimate, query, inputs, options)
    except TagBoxError as error:
        return record | {"status": "missing", "why": f"its estimate cannot be measured: {error}"}
    record |= {"took": round(seconds, 3), **outputs.details.get(query, {})}
    if case.audio_folder is not None:
        record["audio"] = _write_audio(case.audio_folder, case, query, inputs, estimate)
    return record


def _ask_judge(judge: str, estimate: Tensor, query: str, excerpt: SystemInput) -> Record:
    before = query_probability(judge, excerpt.mixture, excerpt.rate, query)
    after = query_probability(judge, estimate, excerpt.rate, query)
    if before is None or after is None:
        return {}
    return {"heard_before": round(before, 4), "heard_after": round(after, 4)}


def _measure_windows(estimate: Tensor, reference: Tensor, mixture: Tensor, rate: int) -> Record:
    try:
        before, after = (window_sdr(signal, reference, rate) for signal in (mixture, estimate))
    except TagBoxError:
        # The source plays only after the last whole window.
        return {}
    return {"window_sdr": round(after, 4), "window_sdri": round(after - before, 4)}


def _rounded(scores: Scores) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(scores).items()}


def _write_audio(
    folder: Path, case: Case, query: str, inputs: SystemInput, estimate: Tensor
) -> Mapping[str, str]:
    """Write mixture, reference and estimate, to be heard in the report.

    Returns:
        for each of them the path of its file, relative to the parent of `folder`.
    """
    signals = {
        "mixture": inputs.mixture,
        f"true {query}": inputs.references[query],
        case.system.name: estimate,
    }
    track = case.track
    return {
        name: _write_signal(folder, (track.split, track.name, query, name), signal, inputs.rate)
        for name, signal in signals.items()
    }


def _write_signal(folder: Path, name_parts: tuple[str, ...], signal: Tensor, rate: int) -> str:
    """Write `signal` (channels, samples) into `folder` as MP3, or as wav where MP3 cannot hold it.

    Returns:
        the path of the file, relative to the parent of `folder`.
    """
    mp3 = rate in MP3_RATES_HZ and signal.shape[0] <= MAX_MP3_CHANNELS
    stem = "_".join(file_name(part) for part in name_parts if part)
    path = folder / f"{stem}{'.mp3' if mp3 else '.wav'}"
    values = (signal / max(peak(signal), 1.0)).T.contiguous().numpy()
    format, subtype = ("MP3", None) if mp3 else ("WAV", "PCM_16")
    # Several processes may write the same mixture.
    with (
        write_atomically(path, force=True) as temporary,
        open_written(temporary, path, rate, values.shape[1], subtype, format) as file,
    ):
        append_samples(file, values, path)
    return f"{folder.name}/{path.name}"
