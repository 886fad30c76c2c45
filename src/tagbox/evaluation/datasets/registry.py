"""Find a data set: recognise its layout, and narrow it to the splits and sources that are asked for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets import musdb, slakh, stems
from tagbox.evaluation.datasets.track import Dataset, Layout, Track
from tagbox.registry import look_up

LAYOUTS = {layout.name: layout for layout in (slakh.LAYOUT, musdb.LAYOUT, stems.LAYOUT)}
"""Layouts by name, the most specific first."""


def find_dataset(
    root: Path,
    layout: str | None = None,
    splits: Sequence[str] = (),
    sources: Sequence[str] = (),
    limit: int | None = None,
) -> Dataset:
    """Find the data set in the folder `root`.

    Args:
        root: the data set's own folder.
        layout: the name of its layout; recognised if None.
        splits: only tracks of these splits; all if empty.
        sources: only these queries; all if empty.
        limit: at most so many tracks, the first by name.

    Raises:
        TagBoxError: there is no such folder, layout, split or source, or no track to evaluate.
    """
    if not root.is_dir():
        raise TagBoxError(f"there is no folder {root}; give the data set's own folder")
    chosen = _recognise_layout(root) if layout is None else look_up(LAYOUTS, layout, "layout")
    tracks, skipped = chosen.find_tracks(root)
    if splits:
        tracks = _select_splits(tracks, splits, root)
    tracks = sorted(tracks, key=lambda track: (track.split, track.name))
    if sources:
        tracks = _select_sources(tracks, sources, root)
    tracks = [track for track in tracks if track.sources][:limit]
    if not tracks:
        why = f" ({skipped[0]})" if skipped else ""
        raise TagBoxError(f"there is nothing to evaluate in {root}{why}; check the folder and --layout")
    return Dataset(root.resolve().name, chosen.name, tuple(tracks), tuple(skipped))


def _recognise_layout(root: Path) -> Layout:
    for layout in LAYOUTS.values():
        if layout.matches(root):
            return layout
    raise TagBoxError(
        f"{root} is laid out like no data set that is known; give folders of mixture.wav and stems, "
        f"or name a --layout: {', '.join(LAYOUTS)}"
    )


def _select_splits(tracks: Sequence[Track], splits: Sequence[str], root: Path) -> list[Track]:
    present = sorted({track.split for track in tracks if track.split})
    for split in splits:
        if split not in present:
            raise TagBoxError(
                f"{root} has no split {split!r}; it has {', '.join(present) or 'no splits at all'}"
            )
    return [track for track in tracks if track.split in splits]


def _select_sources(tracks: Sequence[Track], queries: Sequence[str], root: Path) -> list[Track]:
    for query in queries:
        if not any(query in track.sources for track in tracks):
            raise TagBoxError(f"no track of {root} has a source {query!r}; leave --sources out to see which")
    return [
        replace(track, sources={query: s for query, s in track.sources.items() if query in queries})
        for track in tracks
    ]
