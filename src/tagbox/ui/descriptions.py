"""Songs as data that pages and programs read."""

from collections.abc import Mapping
from typing import Any

from tagbox.corrections import to_json
from tagbox.errors import TagBoxError
from tagbox.tags.resolve import short_name
from tagbox.ui.limits import without_folder
from tagbox.ui.presence import presence_of
from tagbox.ui.processing import JobResult
from tagbox.ui.songs import Song
from tagbox.ui.spectrograms import top_frequency
from tagbox.ui.tracks import FileTrack, Track

SHOWN_TAGS = 2


def describe_song(song: Song) -> dict[str, Any]:
    """Return what there is to say of a song: its state, its tracks, and how somebody left its mixer."""
    # In this order: a song that is done has its last result.
    state = song.state
    result = song.result if state == "done" else None
    project = song.project
    status = song.job.status()
    done, of = status.segments or (len(status.steps), 0)
    return {
        "song": song.token,
        "title": song.title,
        "state": state,
        "error": _error_line(song),
        "words": list(song.request.queries),
        "preset": song.request.preset,
        "waits_for": status.jobs_before,
        "progress": {"done": done, "of": of},
        "version": song.version,
        "tracks": [_describe_track(track, result) for track in song.tracks],
        "can_correct": project is not None,
        "corrections": [] if project is None else to_json(project.history),
        "undone": 0 if project is None else len(project.undone),
        "mixer": dict(song.mixer),
    }


def _describe_track(track: Track, result: JobResult | None) -> dict[str, Any]:
    """Return a track's name, role and extent and, once they are there, its files and most probable tags."""
    described: dict[str, Any] = {
        "name": track.name,
        "role": track.role,
        "rate": track.rate,
        "channels": track.channels,
        "samples": track.samples,
        "ready": track.ready,
    }
    if result is not None and isinstance(track, FileTrack):
        shown = result.tracks[track.name]
        described |= {
            "file": track.path.name,
            "spectrogram": shown.picture.name,
            "top_frequency": top_frequency(track.rate),
            "tags": _highest(shown.probabilities),
            "presence": presence_of(result.manifest, track.name),
        }
    return described


def _highest(probabilities: Mapping[str, float]) -> dict[str, float]:
    highest = sorted(probabilities.items(), key=lambda item: -item[1])[:SHOWN_TAGS]
    return {short_name(tag): probability for tag, probability in highest}


def _error_line(song: Song) -> str | None:
    """Return what went wrong in a line, without the server's folders."""
    error = song.error
    if error is None:
        return None
    if isinstance(error, TagBoxError):
        return without_folder(error, song.request.path)
    return f"something went wrong inside TagBox ({type(error).__name__})"
