"""Render a small data set, track by track, each whole or not there; a run that was stopped can be resumed."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tagbox.atomic_files import failed_write, write_json
from tagbox.audio.validation import fingerprint
from tagbox.errors import OutputExistsError, TagBoxError
from tagbox.rendering import arranging, fluidsynth, midi, slakh
from tagbox.rendering.scores import Score, busiest_window, cut_window
from tagbox.temporary_files import remove_abandoned, temporary_folder

OPTIONS_FILE = "dataset.json"
MIN_NOTES = 4
"""A part with fewer notes in the excerpt is left out."""
MIN_CLASSES = 2
"""A song with fewer classes of instruments in the excerpt is skipped: there is nothing to separate."""
MAX_TRACKS = 99_999
MIN_SECONDS, MAX_SECONDS = 2, 3600


@dataclass(frozen=True)
class DatasetOptions:
    """Everything that decides a data set.

    Attributes:
        tracks: how many.
        seconds: length of each.
        seed: of the choice of tunes, instruments and songs.
        soundfont: with which FluidSynth renders.
        songs: a folder of MIDI files; None arranges tunes in the public domain.
    """

    tracks: int
    seconds: float
    seed: int
    soundfont: Path
    songs: Path | None = None

    def describe(self) -> dict[str, Any]:
        """Describe the options as dataset.json does, by which a later run knows whether it resumes this one.

        The number of tracks is left out, because a data set can grow.
        """
        return {
            "seconds": self.seconds,
            "seed": self.seed,
            "soundfont": self.soundfont.name,
            "soundfont_sha256": fingerprint(self.soundfont),
            "fluidsynth": fluidsynth.program_version(),
            "midi": None if self.songs is None else _songs_hash(self.songs),
        }


@dataclass(frozen=True)
class RenderedTrack:
    """A track of the data set.

    Attributes:
        folder: of its files.
        number: from 1.
        title: of the tune or song.
        classes: of its instruments.
        fresh: whether this run rendered it.
    """

    folder: Path
    number: int
    title: str
    classes: tuple[str, ...]
    fresh: bool


def build_dataset(
    folder: Path,
    options: DatasetOptions,
    on_track: Callable[[RenderedTrack], None] = lambda track: None,
    on_skip: Callable[[str], None] = lambda message: None,
) -> int:
    """Render the tracks that are missing in `folder`; return how many there are in the end.

    Args:
        folder: new, empty, or with a data set of the same options.
        options: of the data set.
        on_track: called after each track.
        on_skip: called with a line about each song that cannot be used.

    Raises:
        OutputExistsError: `folder` holds something else.
        UnwritableOutputError: `folder` cannot be written.
        TagBoxError: FluidSynth or PyYAML is not installed, or an option is out of range.
    """
    if not 1 <= options.tracks <= MAX_TRACKS:
        raise TagBoxError(f"{options.tracks} tracks cannot be made; give 1 to {MAX_TRACKS}")
    if not MIN_SECONDS <= options.seconds <= MAX_SECONDS:
        raise TagBoxError(
            f"tracks of {options.seconds:g} s cannot be made; give {MIN_SECONDS} to {MAX_SECONDS}"
        )
    if options.seed < 0:
        raise TagBoxError(f"the seed is {options.seed}; give 0 or more")
    fluidsynth.find_program()
    slakh.require_yaml()
    _prepare_folder(folder, options)
    count = 0
    for number, score in enumerate(_scores(options, on_skip), 1):
        track = folder / f"Track{number:05d}"
        fresh = not track.is_dir()
        if fresh:
            _render_track(track, score, options, number)
        classes = tuple(dict.fromkeys(part.family for part in score.parts))
        on_track(RenderedTrack(track, number, score.title, classes, fresh))
        count = number
        if count == options.tracks:
            break
    if count == 0:
        raise TagBoxError(
            f"no song in {options.songs} has {MIN_CLASSES} classes of instruments that play together; "
            "give other MIDI files"
        )
    return count


def _prepare_folder(folder: Path, options: DatasetOptions) -> None:
    """Write dataset.json into a new folder; in a folder of an earlier run, check it and tidy up."""
    described = options.describe()
    path = folder / OPTIONS_FILE
    if path.is_file():
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise OutputExistsError(f"{path} is damaged; give another folder") from error
        if earlier != described:
            known = earlier if isinstance(earlier, dict) else {}
            changed = ", ".join(key for key in described if known.get(key) != described[key])
            raise OutputExistsError(
                f"{folder} holds a data set made otherwise ({changed}); give the same options to go on with "
                "it, or another folder"
            )
        remove_abandoned(folder)
        return
    if folder.is_dir():
        remove_abandoned(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputExistsError(
            f"{folder} exists and is no data set of ours; give a folder that is new or empty"
        )
    write_json(described, path, force=False)


def _render_track(track: Path, score: Score, options: DatasetOptions, number: int) -> None:
    stems, gain = slakh.render_stems(score, options.soundfont, options.seconds)
    identity = hashlib.sha256(
        b"\0".join([str((options.seed, number)).encode(), *(midi.encode_midi([p]) for p in score.parts)])
    ).hexdigest()[:32]
    try:
        with temporary_folder(track.parent) as temporary:
            unfinished = temporary / track.name
            unfinished.mkdir()
            slakh.write_track(unfinished, score, stems, options.soundfont.name, gain, identity)
            unfinished.rename(track)
    except OSError as error:
        raise failed_write(track, error) from error


def _scores(options: DatasetOptions, on_skip: Callable[[str], None]) -> Iterator[Score]:
    """Yield arrangements, or excerpts of the songs in random order."""
    if options.songs is None:
        yield from arranging.arrangements(options.seed, options.seconds)
        return
    songs = midi.list_midi_files(options.songs)
    for index in np.random.default_rng(options.seed).permutation(len(songs)):
        try:
            score = busiest_excerpt(midi.read_midi_file(songs[index]), options.seconds)
        except TagBoxError as error:
            # Without mido no song can be read; any other error is about this song.
            if isinstance(error.__cause__, ImportError):
                raise
            on_skip(str(error))
            continue
        if len({part.family for part in score.parts}) < MIN_CLASSES:
            on_skip(f"{songs[index].name}: fewer than {MIN_CLASSES} classes of instruments play together")
            continue
        yield score


def busiest_excerpt(score: Score, seconds: float) -> Score:
    """Cut out the busiest `seconds` of a song, with the parts that play in them."""
    start = busiest_window(score.parts, seconds, MIN_NOTES)
    parts = [cut_window(part, start, seconds) for part in score.parts]
    return replace(score, parts=tuple(part for part in parts if len(part.notes) >= MIN_NOTES))


def _songs_hash(folder: Path) -> str:
    """Compute the SHA-256 of the names and contents of a folder's MIDI files."""
    digest = hashlib.sha256()
    for path in midi.list_midi_files(folder):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
