"""Estimates that other systems wrote, found where those usually put them.

Demucs writes `FOLDER/MODEL/TRACK/vocals.wav`, Open-Unmix and Spleeter `FOLDER/TRACK/vocals.wav`; TRACK is the
name of the recording that they were given, which for a Slakh track may be `TRACK/mix`. `MODEL` is skipped,
endings may be any that can be read, and so may rates.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagbox import audio
from tagbox.audio.resampling import resample
from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets.registry import audio_file, shape_of
from tagbox.evaluation.datasets.stems import MIXTURES
from tagbox.evaluation.systems import Answer, Kind, Task, fit

ALSO = {"vocals": ("vocals", "voice", "singing", "vox"), "drums": ("drums", "percussion")}
"""Names under which a source may lie, besides its own."""


@dataclass(frozen=True)
class ExternalStems:
    """The stems below `folder`, under the name `name`."""

    name: str
    folder: Path
    kind: Kind = "estimates"

    def describe(self) -> dict[str, Any]:
        return {}

    def answer(self, task: Task) -> Answer:
        estimates, missing = {}, {}
        for word in task.references:
            path = self.file(task.track, task.split, word)
            if path is None:
                missing[word] = f"no estimate of {word} for {task.track}"
                continue
            seconds = task.mixture.shape[-1] / task.rate
            if shape_of(path)[1] <= task.start:
                raise TagBoxError(
                    f"{path} ends before the excerpt at {task.start:g} s; separate the whole recording"
                )
            read = audio.read(path, task.start, seconds)
            track = fit(resample(read.samples, read.rate, task.rate), task.mixture.shape[-1])
            if track.shape[0] not in (1, task.mixture.shape[0]):
                track = track.mean(dim=0, keepdim=True)
            estimates[word] = track.expand_as(task.mixture)
        return Answer(estimates, missing)

    def file(self, track: str, split: str, word: str) -> Path | None:
        """The file with the estimate of `word` for `track`."""
        for folder in self._folders(track, split):
            for name in ALSO.get(word, (word,)):
                path = audio_file(folder, name)
                if path is not None:
                    return path
        return None

    def _folders(self, track: str, split: str) -> list[Path]:
        parents = [self.folder, self.folder / split] if split else [self.folder]
        parents += sorted(path for path in self.folder.iterdir() if path.is_dir() and path.name != track)
        names = [track, f"{track}.stem"]
        inner = [
            name for track_name in names for name in (track_name, *(f"{track_name}/{m}" for m in MIXTURES))
        ]
        return [folder for parent in parents for name in inner if (folder := parent / name).is_dir()]


def parse(text: str) -> ExternalStems:
    """`NAME=FOLDER` as estimates.

    Raises:
        TagBoxError: it is not of that form, or there is no such folder.
    """
    name, equals, folder = text.partition("=")
    if not (name.strip() and equals and folder.strip()):
        raise TagBoxError(f"{text!r} names no estimates; write NAME=FOLDER, for example demucs=separated")
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise TagBoxError(f"there is no folder {path} with estimates; check the spelling")
    return ExternalStems(name.strip(), path)
