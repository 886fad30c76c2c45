"""One case: a task put to a method, its answer measured, one plain record a source."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.evaluation import metrics, opinion
from tagbox.evaluation.datasets import Track
from tagbox.evaluation.excerpts import Excerpt
from tagbox.evaluation.methods import Method, Task, fit
from tagbox.results import file_name, peak

ALONE_DB = 30.0
"""SI-SDR of the mixture above which the source plays alone, and there is nothing to separate."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Measures:
    """What is measured besides SI-SDR and SDR, and for which cases audio is kept."""

    judge: str
    window_sdr: bool
    seed: int


@dataclass(frozen=True)
class Job:
    """A track's excerpt, the sources asked for in it, and who is asked."""

    track: Track
    words: tuple[str, ...]
    excerpt: Excerpt
    method: Method
    keep_audio: Path | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Of its records, one a source."""
        return tuple(key(self.track.split, self.track.name, word, self.method.name) for word in self.words)


def key(split: str, track: str, word: str, method: str) -> str:
    """What is unique to a record."""
    return "/".join(part for part in (split, track, word, method) if part)


def task_of(job: Job, seed: int) -> Task:
    """Read what the method needs."""
    start, duration = job.excerpt.start, job.excerpt.duration
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


def run(job: Job, measures: Measures) -> list[Record]:
    """Ask the method and measure what it answers: one record for each source."""
    task = task_of(job, measures.seed)
    begin = time.monotonic()
    estimates: dict[str, Tensor] = {}
    missing: dict[str, str] = {}
    details: dict[str, Any] = {}
    try:
        answer = job.method.answer(task)
        estimates, missing, details = dict(answer.estimates), dict(answer.missing), dict(answer.details)
    except TagBoxError as error:
        missing = dict.fromkeys(job.words, str(error))
    seconds = time.monotonic() - begin
    records = []
    for word in job.words:
        record: Record = {
            "key": key(job.track.split, job.track.name, word, job.method.name),
            "track": job.track.name,
            "split": job.track.split,
            "source": word,
            "method": job.method.name,
            "kind": job.method.kind,
            "start": job.excerpt.start,
            "seconds": job.excerpt.duration,
            "plays": round(job.excerpt.plays, 3),
        }
        if word in missing:
            record |= {"status": "missing", "why": missing[word]}
        else:
            record |= judge(estimates[word], word, task, measures)
            record |= {"took": round(seconds / len(job.words), 3), **details}
            if job.keep_audio is not None:
                record["audio"] = keep(job.keep_audio, job, word, task, estimates[word])
        records.append(record)
    return records


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
        before = metrics.window_sdr(mixture, reference, task.rate)
        after = metrics.window_sdr(estimate, reference, task.rate)
        record |= {"window_sdr": round(after, 4), "window_sdri": round(after - before, 4)}
    heard = [opinion.probability(measures.judge, audio, task.rate, word) for audio in (mixture, estimate)]
    if None not in heard:
        record |= dict(zip(("heard_before", "heard_after"), (round(p or 0.0, 4) for p in heard), strict=True))
    return record


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
        folder.mkdir(parents=True, exist_ok=True)
        loud = max(peak(track), 1.0)
        values = (track / loud).T.contiguous().numpy()
        rate = task.rate
        try:
            soundfile.write(str(path), values, rate, format="MP3")
        except (soundfile.SoundFileError, ValueError):
            # MP3 knows nine rates and two channels; a report's players need neither more nor less.
            path = path.with_suffix(".wav")
            soundfile.write(str(path), values, rate, subtype="PCM_16")
        written[name] = f"{folder.name}/{path.name}"
    return written


def threads_each(jobs: int) -> int:
    """Threads for each of `jobs` processes."""
    import os

    return max(1, (os.cpu_count() or 1) // jobs)


def limit_threads(jobs: int) -> None:
    """Share the cores: processes that all spin on all of them slow each other down many times over."""
    if jobs > 1:
        torch.set_num_threads(threads_each(jobs))


def words_of(jobs: Sequence[Job]) -> set[str]:
    """Every source asked for."""
    return {word for job in jobs for word in job.words}
