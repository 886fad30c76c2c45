"""A folder of a mixture and its stems, or a folder of such folders: `TRACK/mixture.wav`, `TRACK/violin.flac`.

MUSDB18-HQ has this layout below `train` and `test`.
"""

from collections.abc import Iterator
from pathlib import Path

from tagbox.audio.validation import is_recording_name
from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets.stem_words import query_for_stem
from tagbox.evaluation.datasets.track import (
    Layout,
    SummedFiles,
    Track,
    find_audio_file,
    read_rate,
)

MIXTURE_NAMES = ("mixture", "mix")


def has_mixtures(root: Path) -> bool:
    """Return whether `root`, or a folder one or two levels below it, has a mixture."""
    return next(find_track_folders(root), None) is not None


def find_stem_tracks(root: Path) -> tuple[list[Track], list[str]]:
    """Return all tracks, and a line for each that had to be skipped."""
    tracks = []
    skipped = []
    for split, folder in find_track_folders(root):
        try:
            track = _read_track(folder, split)
        except TagBoxError as error:
            skipped.append(f"{folder.name}: {error}")
            continue
        tracks.append(track)
        if not track.sources:
            skipped.append(f"{folder.name}: no stem that a tagger has a word for")
    return tracks, skipped


def find_track_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield split and path of every folder with a mixture: `root` itself, its folders, and theirs."""
    if _find_mixture(root) is not None:
        yield "", root
        return
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if _find_mixture(folder) is not None:
            yield "", folder
        else:
            for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
                if _find_mixture(inner) is not None:
                    yield folder.name, inner


def _find_mixture(folder: Path) -> Path | None:
    return next((path for name in MIXTURE_NAMES if (path := find_audio_file(folder, name))), None)


def _read_track(folder: Path, split: str) -> Track:
    mixture = _find_mixture(folder)
    assert mixture is not None
    rate = read_rate(mixture)
    files: dict[str, list[Path]] = {}
    left_out = []
    for path in sorted(folder.iterdir()):
        if path == mixture or not is_recording_name(path.name):
            continue
        query = query_for_stem(path.stem)
        if query is None:
            left_out.append(f"{path.stem}: no tagger has a word for it")
        else:
            files.setdefault(query, []).append(path)
    sources = {query: SummedFiles(tuple(paths)) for query, paths in files.items()}
    name = folder.resolve().name
    return Track(name, split, rate, SummedFiles((mixture,)), sources, tuple(left_out))


LAYOUT = Layout("stems", "folders of mixture.wav and one file for each stem", has_mixtures, find_stem_tracks)
