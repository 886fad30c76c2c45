"""Recordings with known stems: found by layout, read only where and when they are needed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import soundfile
import torch
from torch.nn import functional

from tagbox import audio
from tagbox.audio.files import Audio
from tagbox.errors import TagBoxError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")


class Signal(Protocol):
    """Audio that is read when it is asked for."""

    def read(self, start: float = 0.0, duration: float | None = None) -> Audio:
        """`duration` seconds from `start` on (s), or all."""
        ...


@dataclass(frozen=True)
class Files:
    """The sum of audio files: a source may be several stems."""

    paths: tuple[Path, ...]

    def read(self, start: float = 0.0, duration: float | None = None) -> Audio:
        """The sum, as long as the longest of the files; no samples after the end of all of them.

        Raises:
            TagBoxError: a file cannot be read, or they differ in rate or channels.
        """
        parts = [_read(path, start, duration) for path in self.paths]
        first = parts[0]
        for path, part in zip(self.paths, parts, strict=True):
            if (part.rate, part.channels) != (first.rate, first.channels):
                raise TagBoxError(
                    f"{path} has {part.channels} channels at {part.rate} Hz and {self.paths[0]} has "
                    f"{first.channels} at {first.rate}; stems of one track must agree"
                )
        longest = max(part.samples.shape[-1] for part in parts)
        padded = [functional.pad(part.samples, (0, longest - part.samples.shape[-1])) for part in parts]
        return Audio(torch.stack(padded).sum(dim=0), first.rate)


@dataclass(frozen=True)
class Track:
    """One recording and its sources.

    Attributes:
        name: unique in the data set.
        split: the folder that it is of ("train", "test"), or "".
        rate: Hz.
        seconds: its length.
        mixture: of everything.
        sources: by the word that asks for it.
        left_out: stems that are not asked for, and why.
    """

    name: str
    split: str
    rate: int
    seconds: float
    mixture: Signal
    sources: Mapping[str, Signal]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Tracks in the order of their names, and what had to be skipped."""

    name: str
    layout: str
    tracks: tuple[Track, ...]
    skipped: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk: a name, a test and a way to find its tracks."""

    name: str
    help: str
    recognises: Callable[[Path], bool]
    find: Callable[[Path], tuple[list[Track], list[str]]]


def layouts() -> dict[str, Layout]:
    """All layouts by name, the most particular first."""
    from tagbox.evaluation.datasets import musdb, slakh, stems

    return {layout.name: layout for layout in (slakh.LAYOUT, musdb.LAYOUT, stems.LAYOUT)}


def find(
    root: Path,
    layout: str | None = None,
    splits: Sequence[str] = (),
    sources: Sequence[str] = (),
    limit: int | None = None,
) -> Dataset:
    """The data set in `root`.

    Args:
        root: its folder.
        layout: its layout's name; recognised when left out.
        splits: only these folders of it.
        sources: only these words.
        limit: at most so many tracks, the first by name.

    Raises:
        TagBoxError: there is no such folder, layout, split or source, or nothing to evaluate in it.
    """
    known = layouts()
    if not root.is_dir():
        raise TagBoxError(f"there is no folder {root}; give the data set's own folder")
    if layout is not None and layout not in known:
        raise TagBoxError(f"no layout is called {layout!r}; choose one of {', '.join(known)}")
    chosen = known[layout] if layout else next((one for one in known.values() if one.recognises(root)), None)
    if chosen is None:
        raise TagBoxError(
            f"{root} is laid out like no data set that is known; give folders of mixture.wav and stems, "
            f"or name a --layout: {', '.join(known)}"
        )
    tracks, skipped = chosen.find(root)
    if splits:
        present = sorted({track.split for track in tracks if track.split})
        for split in splits:
            if split not in present:
                raise TagBoxError(
                    f"{root} has no split {split!r}; it has {', '.join(present) or 'no splits at all'}"
                )
        tracks = [track for track in tracks if track.split in splits]
    tracks = [_only(track, sources) for track in sorted(tracks, key=lambda t: (t.split, t.name))]
    for word in sources:
        if not any(word in track.sources for track in tracks):
            raise TagBoxError(f"no track of {root} has a source {word!r}; leave --sources out to see which")
    tracks = [track for track in tracks if track.sources][:limit]
    if not tracks:
        why = f" ({skipped[0]})" if skipped else ""
        raise TagBoxError(f"there is nothing to evaluate in {root}{why}; check the folder and --layout")
    return Dataset(root.resolve().name, chosen.name, tuple(tracks), tuple(skipped))


def shape_of(path: Path) -> tuple[int, float]:
    """Rate (Hz) and length (s) of an audio file by its header.

    Raises:
        TagBoxError: it cannot be read.
    """
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError) as error:
        raise TagBoxError(f"{path} is no recording that can be read; get a whole copy of it") from error
    return info.samplerate, info.frames / info.samplerate


def _read(path: Path, start: float, duration: float | None) -> Audio:
    """As `audio.read`, but what begins after the file's end has no samples: stems may end early."""
    rate, seconds = shape_of(path)
    if seconds > 0 and round(start * rate) >= round(seconds * rate):
        return Audio(torch.zeros(soundfile.info(str(path)).channels, 0), rate)
    return audio.read(path, start, duration)


def audio_file(folder: Path, name: str) -> Path | None:
    """The audio file in `folder` called `name`, with whatever ending it has."""
    return next((path for ending in SUFFIXES if (path := folder / f"{name}{ending}").is_file()), None)


def _only(track: Track, words: Sequence[str]) -> Track:
    if not words:
        return track
    kept = {word: signal for word, signal in track.sources.items() if word in words}
    return Track(track.name, track.split, track.rate, track.seconds, track.mixture, kept, track.left_out)
