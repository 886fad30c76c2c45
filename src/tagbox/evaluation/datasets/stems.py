"""Any folder of a mixture and stems, or a folder of such folders: `TRACK/mixture.wav`, `TRACK/violin.flac`.

MUSDB18-HQ lies like this, below `train` and `test`.
"""

from collections.abc import Iterator
from pathlib import Path

from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets.registry import SUFFIXES, Files, Layout, Track, audio_file, shape_of
from tagbox.evaluation.datasets.stem_words import word_for

MIXTURES = ("mixture", "mix")


def recognises(root: Path) -> bool:
    """Whether there is a mixture in `root`, or in a folder one or two levels down."""
    return next(track_folders(root), None) is not None


def find(root: Path) -> tuple[list[Track], list[str]]:
    """All tracks, and what was skipped."""
    tracks = []
    skipped = []
    for split, folder in track_folders(root):
        try:
            track = _track(folder, split)
        except TagBoxError as error:
            skipped.append(f"{folder.name}: {error}")
            continue
        tracks.append(track)
        if not track.sources:
            skipped.append(f"{folder.name}: no stem that a tagger has a word for")
    return tracks, skipped


def track_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """(split, folder) of every folder with a mixture: `root` itself, its folders, and theirs."""
    if mixture_of(root) is not None:
        yield "", root
        return
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if mixture_of(folder) is not None:
            yield "", folder
        else:
            for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
                if mixture_of(inner) is not None:
                    yield folder.name, inner


def mixture_of(folder: Path) -> Path | None:
    """The mixture's file in `folder`."""
    return next((path for name in MIXTURES if (path := audio_file(folder, name)) is not None), None)


def _track(folder: Path, split: str) -> Track:
    mixture = mixture_of(folder)
    assert mixture is not None
    rate, seconds = shape_of(mixture)
    files: dict[str, list[Path]] = {}
    left = []
    for path in sorted(folder.iterdir()):
        if path == mixture or path.suffix.lower() not in SUFFIXES:
            continue
        word = word_for(path.stem)
        if word is None:
            left.append(f"{path.stem}: no tagger has a word for it")
        else:
            files.setdefault(word, []).append(path)
    sources = {word: Files(tuple(paths)) for word, paths in files.items()}
    return Track(folder.resolve().name, split, rate, seconds, Files((mixture,)), sources, tuple(left))


LAYOUT = Layout("stems", "folders of mixture.wav and one file for each stem", recognises, find)
