"""Estimates that other systems wrote as stems, in the folders where those systems usually write them.

Demucs writes `FOLDER/MODEL/TRACK/vocals.wav`, Open-Unmix and Spleeter `FOLDER/TRACK/vocals.wav`. TRACK is the
name of the recording that was separated; for a Slakh track it may be `TRACK/mix`. Every MODEL is searched.
Stems may have any format that can be read, and any sample rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagbox import audio
from tagbox.audio.files import inspect
from tagbox.audio.resampling import pad_or_trim, resample
from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets.stems import MIXTURE_NAMES
from tagbox.evaluation.datasets.track import find_audio_file
from tagbox.evaluation.systems import SystemInput, SystemKind, SystemOutput

STEM_NAMES = {"vocals": ("vocals", "voice", "singing", "vox"), "drums": ("drums", "percussion")}
"""Names that a stem may have, by query; any other query is the stem's name."""


@dataclass(frozen=True)
class ExternalStems:
    """The stems below `folder`, which the system called `name` wrote."""

    name: str
    folder: Path
    kind: SystemKind = "estimates"

    def describe(self) -> dict[str, Any]:
        """Return nothing: how the stems were computed is not known here."""
        return {}

    def separate(self, excerpt: SystemInput) -> SystemOutput:
        """Read the excerpt of each stem, and bring it to the mixture's sample rate, length and channels.

        Raises:
            TagBoxError: a stem cannot be read, or ends before the excerpt begins.
        """
        estimates, missing = {}, {}
        channels, samples = excerpt.mixture.shape
        for query in excerpt.references:
            path = self.find_stem(excerpt.track, excerpt.split, query)
            if path is None:
                missing[query] = f"no estimate of {query} for {excerpt.track}"
                continue
            info = inspect(path)
            if info.samples / info.rate <= excerpt.start:
                raise TagBoxError(
                    f"{path} ends before the excerpt at {excerpt.start:g} s; separate the whole recording"
                )
            stem = audio.read(path, excerpt.start, samples / excerpt.rate)
            estimate = pad_or_trim(resample(stem.samples, stem.rate, excerpt.rate), samples)
            if estimate.shape[0] not in (1, channels):
                estimate = estimate.mean(dim=0, keepdim=True)
            estimates[query] = estimate.expand_as(excerpt.mixture)
        return SystemOutput(estimates, missing)

    def find_stem(self, track: str, split: str, query: str) -> Path | None:
        """Return the file with the estimate of `query` for `track`, or None."""
        for folder in self._stem_folders(track, split):
            for name in STEM_NAMES.get(query, (query,)):
                path = find_audio_file(folder, name)
                if path is not None:
                    return path
        return None

    def _stem_folders(self, track: str, split: str) -> Iterator[Path]:
        parents = [self.folder, self.folder / split] if split else [self.folder]
        parents += sorted(path for path in self.folder.iterdir() if path.is_dir() and path.name != track)
        for parent in parents:
            for name in (track, f"{track}.stem"):
                for folder in (parent / name, *(parent / name / mixture for mixture in MIXTURE_NAMES)):
                    if folder.is_dir():
                        yield folder


def parse_external_stems(text: str) -> ExternalStems:
    """Parse `NAME=FOLDER`.

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
