"""Slakh2100: `[train|validation|test|omitted/]TrackNNNNN/mix.flac`, `stems/SNN.flac`, `metadata.yaml`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets.registry import Files, Layout, Track, audio_file, shape_of
from tagbox.evaluation.datasets.stem_words import word_for

SPLITS = ("train", "validation", "test", "omitted")


def recognises(root: Path) -> bool:
    """Whether there is a track of Slakh's in `root` or in a split's folder."""
    return next(_folders(root), None) is not None


def find(root: Path) -> tuple[list[Track], list[str]]:
    """All tracks, and what was skipped of them."""
    tracks: list[Track] = []
    skipped: list[str] = []
    for split, folder in _folders(root):
        mix = audio_file(folder, "mix")
        if mix is None:
            skipped.append(f"{folder.name}: no mix")
            continue
        try:
            track, notes = _track(folder, split, mix)
        except TagBoxError as error:
            skipped.append(f"{folder.name}: {error}")
            continue
        tracks.append(track)
        skipped += notes
    return tracks, skipped


def _folders(root: Path) -> Iterator[tuple[str, Path]]:
    for split, parent in (("", root), *((split, root / split) for split in SPLITS)):
        if parent.is_dir():
            for folder in sorted(parent.iterdir()):
                if (folder / "metadata.yaml").is_file():
                    yield split, folder


def _track(folder: Path, split: str, mix: Path) -> tuple[Track, list[str]]:
    notes: list[str] = []
    stems = _metadata(folder / "metadata.yaml")
    files: dict[str, list[Path]] = {}
    incomplete: set[str] = set()
    unasked: set[str] = set()
    for stem, about in sorted(stems.items()):
        name = str(about.get("inst_class", "")) if isinstance(about, dict) else ""
        program = about.get("program_num") if isinstance(about, dict) else None
        word = word_for(name, program if isinstance(program, int) else None) if name else None
        path = audio_file(folder / "stems", stem)
        if word is None:
            unasked.add(name or "a stem without a class")
        elif path is None:
            # Without one of its stems a class is not what the mixture holds of it: none of it is asked for.
            incomplete.add(word)
            notes.append(f"{folder.name}: stem {stem} ({name}) has no audio")
        else:
            files.setdefault(word, []).append(path)
    sources = {word: Files(tuple(paths)) for word, paths in files.items() if word not in incomplete}
    rate, seconds = shape_of(mix)
    left = tuple(f"{name}: no tagger has a word for it" for name in sorted(unasked))
    return Track(folder.name, split, rate, seconds, Files((mix,)), sources, left), notes


def _metadata(path: Path) -> dict[str, Any]:
    """The `stems` of a track's metadata."""
    try:
        import yaml
    except ImportError as error:
        raise TagBoxError(
            "Slakh's metadata are YAML; to read them: pip install 'tagbox[eval]' (or pip install pyyaml)"
        ) from error
    try:
        # libyaml, where it is there, reads a thousand tracks' metadata in seconds rather than minutes.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        stems = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)["stems"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise TagBoxError(f"metadata.yaml names no stems ({type(error).__name__})") from error
    if not isinstance(stems, dict):
        raise TagBoxError("metadata.yaml names no stems")
    return stems


LAYOUT = Layout("slakh", "TrackNNNNN/mix.flac, stems/SNN.flac, metadata.yaml", recognises, find)
