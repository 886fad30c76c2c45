"""One case: a task put to a method, its answer measured, one plain record a source."""

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor

from tagbox.atomic_files import write_atomically
from tagbox.audio.files import file_name, peak
from tagbox.errors import TagBoxError
from tagbox.evaluation import judge as judges
from tagbox.evaluation import metrics
from tagbox.evaluation.datasets.registry import Track
from tagbox.evaluation.excerpts import Excerpt
from tagbox.evaluation.systems import Method, Task, fit

ALONE_DB = 30.0
"""SI-SDR of the mixture above which the source plays alone, and there is nothing to separate."""

MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

Record = dict[str, Any]


@dataclass(frozen=True)
class Measures:
    """What is measured besides SI-SDR and SDR: the judge (as data/architecture, "" for none) and the windows.

    `seed` is of everything random.
    """

    judge: str
    window_sdr: bool
    seed: int


@dataclass(frozen=True)
class Job:
    """A track, the sources asked for in it, and who is asked."""

    track: Track
    words: tuple[str, ...]
    method: Method
    keep_audio: Path | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Of its records, one a source."""
        return tuple(key(self.track.split, self.track.name, word, self.method.name) for word in self.words)


def key(split: str, track: str, word: str, method: str) -> str:
    """What is unique to a record."""
    return "/".join(part for part in (split, track, word, method) if part)


def task_of(job: Job, excerpt: Excerpt, seed: int) -> Task:
    """Read what the method needs.

    Raises:
        TagBoxError: a recording cannot be read, or stems and mixture do not agree.
    """
    start, duration = excerpt.start, excerpt.duration
    mixture = job.track.mixture.read(start, duration)
    samples = mixture.samples.shape[-1]
    references = {}
    for word in job.words:
        stem = job.track.sources[word].read(start, duration)
        if (stem.rate, stem.channels) != (mixture.rate, mixture.channels):
            raise TagBoxError(
                f"{job.track.name}: the mixture has {mixture.channels} channels at {mixture.rate} Hz and "
                f"{word} {stem.channels} at {stem.rate}; stems and mixture must agree"
            )
        references[word] = fit(stem.samples, samples)
    return Task(job.track.name, job.track.split, mixture.samples, mixture.rate, references, start, seed)


def run(job: Job, excerpt: Excerpt | str, measures: Measures) -> list[Record]:
    """Ask the method and measure what it answers: one record for each source.

    `excerpt` is a line that says why there is none, where the recording cannot be read.
    """
    if isinstance(excerpt, str):
        return [_about(job, word) | {"status": "unreadable", "why": excerpt} for word in job.words]
    try:
        task = task_of(job, excerpt, measures.seed)
    except TagBoxError as error:
        return [_about(job, word) | {"status": "unreadable", "why": str(error)} for word in job.words]
    begin = time.monotonic()
    estimates: dict[str, Tensor] = {}
    missing: dict[str, str] = {}
    details: dict[str, Mapping[str, Any]] = {}
    try:
        answer = job.method.answer(task)
        estimates, missing, details = dict(answer.estimates), dict(answer.missing), dict(answer.details)
    except TagBoxError as error:
        missing = dict.fromkeys(job.words, str(error))
    seconds = time.monotonic() - begin
    records = []
    for word in job.words:
        record = _about(job, word) | {
            "start": excerpt.start,
            "seconds": round(excerpt.duration, 6),
            "plays": round(excerpt.plays, 3),
        }
        judged: Record = {}
        if word not in missing:
            try:
                judged = judge(estimates[word], word, task, measures)
            except TagBoxError as error:
                missing[word] = f"its estimate cannot be measured: {error}"
        if word in missing:
            record |= {"status": "missing", "why": missing[word]}
        else:
            record |= judged | {"took": round(seconds / len(job.words), 3), **details.get(word, {})}
            if job.keep_audio is not None:
                record["audio"] = keep(job.keep_audio, job, word, task, estimates[word])
        records.append(record)
    return records


def _about(job: Job, word: str) -> Record:
    return {
        "key": key(job.track.split, job.track.name, word, job.method.name),
        "track": job.track.name,
        "split": job.track.split,
        "source": word,
        "method": job.method.name,
        "kind": job.method.kind,
    }


def judge(estimate: Tensor, word: str, task: Task, measures: Measures) -> Record:
    """Everything that is measured of one estimate (channels, samples)."""
    reference, mixture = task.references[word], task.mixture
    if not bool(reference.any()):
        return {"status": "silent reference", "leak": round(metrics.leak(estimate, mixture), 3)}
    if metrics.si_sdr(mixture, reference) > ALONE_DB:
        return {
            "status": "plays alone",
            "si_sdr": round(metrics.score(estimate, reference, mixture).si_sdr, 4),
        }
    record: Record = {
        "status": "ok",
        "silent": not bool(estimate.any()),
        **_rounded(metrics.score(estimate, reference, mixture)),
        "residual": _rounded(metrics.score(mixture - estimate, reference, mixture)),
    }
    if measures.window_sdr:
        record |= _windows(estimate, reference, mixture, task.rate)
    heard = [
        judges.probability(measures.judge, audio, task.rate, word) if measures.judge else None
        for audio in (mixture, estimate)
    ]
    if None not in heard:
        record |= dict(zip(("heard_before", "heard_after"), (round(p or 0.0, 4) for p in heard), strict=True))
    return record


def _windows(estimate: Tensor, reference: Tensor, mixture: Tensor, rate: int) -> Record:
    try:
        before, after = (metrics.window_sdr(signal, reference, rate) for signal in (mixture, estimate))
    except TagBoxError:
        # The source plays nowhere but after the last whole window.
        return {}
    return {"window_sdr": round(after, 4), "window_sdri": round(after - before, 4)}


def _rounded(scores: metrics.Scores) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(scores).items()}


def keep(folder: Path, job: Job, word: str, task: Task, estimate: Tensor) -> dict[str, str]:
    """Write what is heard in the report, once for each method: names below `folder`'s parent."""
    tracks = {
        "mixture": task.mixture,
        f"true {word}": task.references[word],
        job.method.name: estimate,
    }
    written = {}
    for name, track in tracks.items():
        parts = (job.track.split, job.track.name, word, name)
        path = folder / f"{'_'.join(file_name(part) for part in parts if part)}.mp3"
        loud = max(peak(track), 1.0)
        values = (track / loud).T.contiguous().numpy()
        # MP3 knows nine rates and two channels at most; what it cannot hold is kept as wav.
        if task.rate not in MP3_RATES or values.shape[1] > 2:
            path = path.with_suffix(".wav")
        # Several processes may write the same mixture.
        with write_atomically(path, force=True) as beside:
            if path.suffix == ".mp3":
                soundfile.write(str(beside), values, task.rate, format="MP3")
            else:
                soundfile.write(str(beside), values, task.rate, subtype="PCM_16")
        written[name] = f"{folder.name}/{path.name}"
    return written


def limit_threads(jobs: int) -> None:
    """Share the cores: processes that all spin on all of them slow each other down many times over."""
    torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // jobs)))
