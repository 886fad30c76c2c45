"""A small data set for anyone, track by track, each whole or not there; a run that stopped goes on."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tagbox.atomic_files import write_atomically
from tagbox.errors import TagBoxError
from tagbox.rendering import arranging, fluidsynth, midi, slakh
from tagbox.rendering.scores import Score, busiest_window, window

REQUEST = "dataset.json"
UNFINISHED = ".unfinished-"
LEAST_NOTES = 4
"""Of a part in the window, or it is left out of it."""
LEAST_CLASSES = 2
"""Of a song in the window, or there is nothing to separate."""


@dataclass(frozen=True)
class Request:
    """Everything that decides a data set.

    Attributes:
        tracks: how many.
        seconds: of each.
        seed: of the choice of tunes, instruments and songs.
        soundfont: what plays.
        songs: a folder of MIDI files; None arranges tunes in the public domain.
    """

    tracks: int
    seconds: float
    seed: int
    soundfont: Path
    songs: Path | None = None

    def describe(self) -> dict[str, Any]:
        """What stands in dataset.json, by which a later run knows whether it goes on with the same.

        How many tracks is not a part of it: a set can grow.
        """
        return {
            "seconds": self.seconds,
            "seed": self.seed,
            "soundfont": self.soundfont.name,
            "soundfont_sha256": _sha256(self.soundfont),
            "fluidsynth": fluidsynth.version(),
            "midi": None if self.songs is None else _digest(self.songs),
        }


@dataclass(frozen=True)
class Made:
    """A track that is there: `fresh` when this run made it."""

    folder: Path
    number: int
    title: str
    classes: tuple[str, ...]
    fresh: bool


def build(
    folder: Path,
    request: Request,
    on_track: Callable[[Made], None] | None = None,
    on_skip: Callable[[str], None] | None = None,
) -> int:
    """Make what is missing of the data set in `folder`, and hand back how many tracks it has.

    Args:
        folder: made if need be; what lies in it must be of the same request.
        request: what to make.
        on_track: told after each track.
        on_skip: told of each song that cannot be used, in a line.

    Raises:
        TagBoxError: something needed is missing, `folder` holds something else, or cannot be written.
    """
    if not 1 <= request.tracks <= 99999:
        raise TagBoxError(f"{request.tracks} tracks cannot be made; give 1 to 99999")
    if not 2 <= request.seconds <= 3600:
        raise TagBoxError(f"tracks of {request.seconds:g} s cannot be made; give 2 to 3600")
    if request.seed < 0:
        raise TagBoxError(f"the seed is {request.seed}; give 0 or more")
    fluidsynth.find()
    slakh.yaml()
    _begin(folder, request)
    made = 0
    for number, score in enumerate(_scores(request, on_skip or _ignore), 1):
        track = folder / f"Track{number:05d}"
        fresh = not track.is_dir()
        if fresh:
            _make(track, score, request, number)
        made = number
        if on_track is not None:
            classes = tuple(dict.fromkeys(part.family for part in score.parts))
            on_track(Made(track, number, score.title, classes, fresh))
        if made == request.tracks:
            break
    if made == 0:
        raise TagBoxError(
            f"no song in {request.songs} has {LEAST_CLASSES} classes of instruments that play together; "
            "give other MIDI files"
        )
    return made


def _begin(folder: Path, request: Request) -> None:
    described = request.describe()
    path = folder / REQUEST
    if path.is_file():
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise TagBoxError(f"{path} is damaged; give another folder") from error
        if earlier != described:
            known = earlier if isinstance(earlier, dict) else {}
            changed = ", ".join(key for key in described if known.get(key) != described[key])
            raise TagBoxError(
                f"{folder} holds a data set made otherwise ({changed}); give the same options to go on with "
                "it, or another folder"
            )
        for left in folder.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left)
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TagBoxError(f"{folder} exists and is no data set of ours; give a folder that is new or empty")
    with write_atomically(path) as beside:
        beside.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def _make(track: Path, score: Score, request: Request, number: int) -> None:
    stems, gain = slakh.stems_of(score, request.soundfont, request.seconds)
    identity = hashlib.sha256(
        b"\0".join([str((request.seed, number)).encode(), *(midi.write([p]) for p in score.parts)])
    ).hexdigest()[:32]
    beside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=track.parent))
    try:
        slakh.write_track(beside, score, stems, request.soundfont.name, gain, identity)
        # mkdtemp makes folders that only their owner can enter; a data set is for everyone.
        beside.chmod(track.parent.stat().st_mode & 0o777)
        beside.rename(track)
    except OSError as error:
        raise TagBoxError(f"cannot write {track} ({error.strerror}); make room, and run it again") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _scores(request: Request, on_skip: Callable[[str], None]) -> Iterator[Score]:
    if request.songs is None:
        yield from arranging.scores(request.seed, request.seconds)
        return
    songs = midi.files(request.songs)
    for index in np.random.default_rng(request.seed).permutation(len(songs)):
        try:
            score = excerpt(midi.read(songs[index]), request.seconds)
        except TagBoxError as error:
            if not isinstance(error.__cause__, ImportError):
                on_skip(str(error))
                continue
            raise
        if len({part.family for part in score.parts}) < LEAST_CLASSES:
            on_skip(f"{songs[index].name}: fewer than {LEAST_CLASSES} classes of instruments play together")
            continue
        yield score


def excerpt(score: Score, seconds: float) -> Score:
    """The busiest window of a song, with the parts that play in it."""
    start = busiest_window(score.parts, seconds, LEAST_NOTES)
    parts = [window(part, start, seconds) for part in score.parts]
    return replace(score, parts=tuple(part for part in parts if len(part.notes) >= LEAST_NOTES))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(folder: Path) -> str:
    """Of the names and contents of a folder's MIDI files."""
    digest = hashlib.sha256()
    for path in midi.files(folder):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _ignore(line: str) -> None:
    pass
