"""Excerpts of recordings: read when they are needed, at one rate, mono."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.nn import functional

from tagbox import audio
from tagbox.errors import TagBoxError

ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus")
QUIETEST = 1e-3
"""A peak under which an excerpt teaches nothing."""
TRIES = 20
SHORTEST = 2400
"""Samples of an excerpt, at the least: the spectral losses look at windows of this order."""


@dataclass(frozen=True)
class TrainingFile:
    """A file and its length."""

    path: Path
    seconds: float


def find(folders: Sequence[Path]) -> list[TrainingFile]:
    """Every recording in `folders` and below, by name.

    Raises:
        TagBoxError: a folder is missing, or none of them holds a recording.
    """
    recordings = []
    for folder in folders:
        if not folder.exists():
            raise TagBoxError(f"there is no folder {folder}; give folders of recordings")
        files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        for path in files:
            if path.suffix.lower() in ENDINGS:
                try:
                    info = soundfile.info(str(path))
                except soundfile.SoundFileError:
                    continue
                if info.frames:
                    recordings.append(TrainingFile(path, info.frames / info.samplerate))
    if not recordings:
        raise TagBoxError(
            f"no recordings are in {', '.join(map(str, folders))}; put wav, flac, ogg or mp3 files there"
        )
    return recordings


def read(recording: TrainingFile, start: float, samples: int, rate: int) -> Tensor:
    """`samples` at `rate` Hz from `start` s on, mono, silence where the recording ends: (samples,)."""
    excerpt = audio.read(recording.path, start, samples / rate)
    mono = audio.resample(audio.to_mono(excerpt.samples), excerpt.rate, rate)[:samples]
    return functional.pad(mono, (0, samples - mono.shape[-1]))


def batches(
    recordings: Sequence[TrainingFile], batch: int, samples: int, rate: int, seed: Sequence[int]
) -> Iterator[Tensor]:
    """Batches (batch, 1, samples) without end: places evenly over all the music, peaks of 0.3 to 1."""
    random = np.random.default_rng(list(seed))
    lengths = np.array([recording.seconds for recording in recordings])
    chances = lengths / lengths.sum()

    def one() -> Tensor:
        for _ in range(TRIES):
            recording = recordings[int(random.choice(len(recordings), p=chances))]
            start = random.uniform(0, max(0.0, recording.seconds - samples / rate))
            excerpt = read(recording, min(start, recording.seconds * 0.999), samples, rate)
            peak = float(excerpt.abs().max())
            if peak > QUIETEST:
                return excerpt * (random.uniform(0.3, 1.0) / max(peak, 0.1))
        raise TagBoxError("the recordings are nearly all silence; give some with music in them")

    while True:
        yield torch.stack([one() for _ in range(batch)])[:, None]


def evenly(recordings: Sequence[TrainingFile], count: int, samples: int, rate: int) -> list[Tensor]:
    """`count` excerpts (samples,) at fixed places spread over all recordings, the silent ones left out."""
    chosen = []
    for i in range(count):
        recording = recordings[i * len(recordings) // count]
        start = max(0.0, recording.seconds - samples / rate) * ((i * 0.618) % 1)
        excerpt = read(recording, start, samples, rate)
        if float(excerpt.abs().max()) > QUIETEST:
            chosen.append(excerpt)
    if not chosen:
        raise TagBoxError("the held-out recordings are silent where they were looked at; give others")
    return chosen
