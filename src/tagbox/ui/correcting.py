"""Correct a song: what changes is heard first, and then written into the song's files."""

from collections.abc import Callable
from dataclasses import replace

from tagbox.errors import TagBoxError
from tagbox.projects import Project
from tagbox.ui.processing import JobResult, draw_result, without_folders
from tagbox.ui.result_files import remove_others, roles_of, write_separation
from tagbox.ui.songs import Song
from tagbox.ui.tracks import FileTrack, MemoryTrack

Change = Callable[[Project], object]
"""Makes corrections, or takes one back."""


def change_song(song: Song, before: JobResult, change: Change) -> JobResult:
    """Make a change to a song's project, have the new tracks heard, and write them.

    Raises:
        TagBoxError: the song or the change is not one that can be corrected; nothing has changed then.
    """
    project = before.project
    if project is None:
        raise TagBoxError(f"{song.title} cannot be corrected (any more); separate it anew")
    change(project)
    separation = project.result
    recording = song.tracks[0]
    assert isinstance(recording, FileTrack)
    roles = roles_of(list(separation.sources))
    values = {**separation.sources, "residual": separation.residual}
    heard = [MemoryTrack(name, roles[name], track, separation.rate) for name, track in values.items()]
    song.set_tracks([recording, *heard], is_changed=True)
    manifest = without_folders(separation.manifest)
    format_name = song.request.format
    written, note = write_separation(separation, manifest, before.metadata, song.folder, format_name)
    song.set_tracks([recording, *written])
    remove_others(song.folder, [recording, *written])
    return draw_result(replace(before, manifest=manifest, note=note), [recording, *written])
