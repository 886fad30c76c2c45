"""Slakh2100: `[train|validation|test|omitted/]TrackNNNNN/mix.flac`, `stems/SNN.flac`, `metadata.yaml`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets.stem_words import query_for_stem
from tagbox.evaluation.datasets.track import (
    Layout,
    SummedFiles,
    Track,
    find_audio_file,
    read_rate,
)

SPLITS = ("train", "validation", "test", "omitted")


def is_slakh(root: Path) -> bool:
    """Return whether `root`, or the folder of a split in it, has a track in Slakh's layout."""
    return next(_track_folders(root), None) is not None


def find_slakh_tracks(root: Path) -> tuple[list[Track], list[str]]:
    """Return all tracks, and a line for each track or stem that had to be skipped."""
    tracks: list[Track] = []
    skipped: list[str] = []
    for split, folder in _track_folders(root):
        mixture = find_audio_file(folder, "mix")
        if mixture is None:
            skipped.append(f"{folder.name}: no mix")
            continue
        try:
            track, notes = _read_track(folder, split, mixture)
        except TagBoxError as error:
            skipped.append(f"{folder.name}: {error}")
            continue
        tracks.append(track)
        skipped += notes
    return tracks, skipped


def _track_folders(root: Path) -> Iterator[tuple[str, Path]]:
    for split, parent in (("", root), *((split, root / split) for split in SPLITS)):
        if parent.is_dir():
            for folder in sorted(parent.iterdir()):
                if (folder / "metadata.yaml").is_file():
                    yield split, folder


def _read_track(folder: Path, split: str, mixture: Path) -> tuple[Track, list[str]]:
    notes: list[str] = []
    files: dict[str, list[Path]] = {}
    incomplete: set[str] = set()
    without_query: set[str] = set()
    for stem, metadata in sorted(_read_stems(folder / "metadata.yaml").items()):
        instrument = str(metadata.get("inst_class", "")) if isinstance(metadata, dict) else ""
        program = metadata.get("program_num") if isinstance(metadata, dict) else None
        query = (
            query_for_stem(instrument, program if isinstance(program, int) else None) if instrument else None
        )
        path = find_audio_file(folder / "stems", stem)
        if query is None:
            without_query.add(instrument or "a stem without a class")
        elif path is None:
            # The stems that remain are not all that the mixture has of this class: leave the class out.
            incomplete.add(query)
            notes.append(f"{folder.name}: stem {stem} ({instrument}) has no audio")
        else:
            files.setdefault(query, []).append(path)
    sources = {query: SummedFiles(tuple(paths)) for query, paths in files.items() if query not in incomplete}
    rate = read_rate(mixture)
    left_out = tuple(f"{name}: no tagger has a word for it" for name in sorted(without_query))
    return Track(folder.name, split, rate, SummedFiles((mixture,)), sources, left_out), notes


def _read_stems(path: Path) -> dict[str, Any]:
    """Read the entry `stems` of a track's metadata: what is known of each stem, by its name."""
    try:
        import yaml
    except ImportError as error:
        raise TagBoxError(
            "Slakh's metadata are YAML; to read them: pip install 'tagbox[eval]' (or pip install pyyaml)"
        ) from error
    try:
        # libyaml, where it is installed, reads a thousand tracks' metadata in seconds rather than minutes.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        stems = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)["stems"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise TagBoxError(f"metadata.yaml names no stems ({type(error).__name__})") from error
    if not isinstance(stems, dict):
        raise TagBoxError("metadata.yaml names no stems")
    return stems


LAYOUT = Layout("slakh", "TrackNNNNN/mix.flac, stems/SNN.flac, metadata.yaml", is_slakh, find_slakh_tracks)
