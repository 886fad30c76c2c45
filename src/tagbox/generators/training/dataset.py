"""Excerpts of recordings to train on: read when they are needed, resampled to one rate, mono."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tagbox import audio
from tagbox.audio.files import inspect
from tagbox.audio.resampling import pad_or_trim
from tagbox.audio.validation import is_recording_name
from tagbox.errors import UnreadableRecordingError

MIN_PEAK = 1e-3
"""The peak below which an excerpt counts as silent."""

MAX_DRAWS = 20
"""How many silent excerpts are drawn in a row before the recordings are refused."""

MIN_EXCERPT_SAMPLES = 2400
"""The shortest excerpt: the spectral losses use windows of about this length."""

GOLDEN_RATIO = 0.618
"""Its multiples, modulo 1, are spread evenly."""


@dataclass(frozen=True)
class TrainingFile:
    """A recording, its length, and what was wrong with its file, if anything."""

    path: Path
    seconds: float
    note: str | None = None


def find_training_files(
    folders: Sequence[Path], on_skipped: Callable[[str], None] | None = None
) -> list[TrainingFile]:
    """Find every recording in `folders` and below, in the order of names.

    Args:
        folders: of recordings; a recording may stand for a folder.
        on_skipped: told in a line why a file with a recording's name is left out.

    Raises:
        UnreadableRecordingError: a folder is missing, or none of them holds a recording.
    """
    recordings = []
    for folder in folders:
        if not folder.exists():
            raise UnreadableRecordingError(f"there is no folder {folder}; give folders of recordings")
        paths = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        for path in paths:
            if is_recording_name(path.name):
                try:
                    info = inspect(path)
                except UnreadableRecordingError as error:
                    if on_skipped is not None:
                        on_skipped(f"left out: {error}")
                    continue
                recordings.append(TrainingFile(path, info.samples / info.rate, info.note))
    if not recordings:
        raise UnreadableRecordingError(
            f"no recordings are in {', '.join(map(str, folders))}; put wav, flac, ogg or mp3 files there"
        )
    return recordings


def read_excerpt(recording: TrainingFile, start: float, samples: int, rate: int) -> Tensor:
    """Read from `start` s on, mono at `rate` Hz, padded with silence at the recording's end: (samples,)."""
    excerpt = audio.read(recording.path, start, samples / rate)
    return pad_or_trim(audio.resample(audio.to_mono(excerpt.samples), excerpt.rate, rate), samples)


def random_batches(
    recordings: Sequence[TrainingFile], batch_size: int, samples: int, rate: int, seed: Sequence[int]
) -> Iterator[Tensor]:
    """Yield batches (batch, 1, samples) without end.

    Excerpts are drawn uniformly from all the music, and scaled to a random peak of 0.3 to 1.

    Raises:
        UnreadableRecordingError: nearly all of the recordings is silence.
    """
    random = np.random.default_rng(list(seed))
    lengths = np.array([recording.seconds for recording in recordings])
    probabilities = lengths / lengths.sum()
    while True:
        excerpts = [
            _random_excerpt(recordings, probabilities, samples, rate, random) for _ in range(batch_size)
        ]
        yield torch.stack(excerpts)[:, None]


def _random_excerpt(
    recordings: Sequence[TrainingFile],
    probabilities: np.ndarray,
    samples: int,
    rate: int,
    random: np.random.Generator,
) -> Tensor:
    for _ in range(MAX_DRAWS):
        recording = recordings[int(random.choice(len(recordings), p=probabilities))]
        start = random.uniform(0, max(0.0, recording.seconds - samples / rate))
        excerpt = read_excerpt(recording, min(start, recording.seconds * 0.999), samples, rate)
        peak = float(excerpt.abs().max())
        if peak > MIN_PEAK:
            return excerpt * (random.uniform(0.3, 1.0) / max(peak, 0.1))
    raise UnreadableRecordingError("the recordings are nearly all silence; give some with music in them")


def spread_excerpts(recordings: Sequence[TrainingFile], count: int, samples: int, rate: int) -> list[Tensor]:
    """Read `count` excerpts (samples,) at fixed positions spread over all recordings, except silent ones.

    Raises:
        UnreadableRecordingError: all of them are silent.
    """
    excerpts = []
    for i in range(count):
        recording = recordings[i * len(recordings) // count]
        start = max(0.0, recording.seconds - samples / rate) * ((i * GOLDEN_RATIO) % 1)
        excerpt = read_excerpt(recording, start, samples, rate)
        if float(excerpt.abs().max()) > MIN_PEAK:
            excerpts.append(excerpt)
    if not excerpts:
        raise UnreadableRecordingError(
            "the held-out recordings are silent where they were looked at; give others"
        )
    return excerpts
