"""The files of a song: its recording, its tracks, and their spectrograms."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tagbox import audio
from tagbox.audio.files import Bits, file_name, peak
from tagbox.audio.metadata import Metadata
from tagbox.ui import spectrograms
from tagbox.ui.tracks import FileTrack, Role

if TYPE_CHECKING:
    from tagbox.results import Separation

FORMATS = {
    "FLAC, 24 bits": ("flac", "24"),
    "WAV, 16 bits": ("wav", "16"),
    "WAV, float": ("wav", "float"),
}
MIXTURE = "mixture"
RESIDUAL = "residual"
TOO_LOUD = "A peak is above full scale, where integers would clip: written as WAV with float samples."


def roles_of(queries: Sequence[str]) -> dict[str, Role]:
    """Return the roles of a separation's tracks, by name in their order."""
    return {**dict.fromkeys(queries, "source"), RESIDUAL: "residual"}


def write_mixture(recording: audio.Audio, metadata: Metadata, folder: Path, format_name: str) -> FileTrack:
    """Write the recording in the format and with the metadata of its tracks."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    format, bits = FORMATS[format_name]
    if bits != "float" and peak(recording.samples) > 1:
        format, bits = "wav", "float"
    path = folder / f"{MIXTURE}.{format}"
    described = metadata.of_stem(MIXTURE)
    audio.write(path, recording.samples, recording.rate, cast(Bits, bits), metadata=described)
    return FileTrack.of(MIXTURE, "recording", path)


def write_separation(
    separation: "Separation",
    manifest: Mapping[str, object],
    metadata: Metadata,
    folder: Path,
    format_name: str,
) -> tuple[list[FileTrack], str | None]:
    """Write the tracks of a separation and run.json into `folder`, in place of those that are there.

    Returns:
        the tracks, and a note where their format is not the one that was asked for.

    Raises:
        UnwritableOutputError: the folder cannot be written; nothing has changed then.
    """
    tracks = {**separation.sources, RESIDUAL: separation.residual}
    format, bits = FORMATS[format_name]
    note = None
    if bits != "float" and max(peak(track) for track in tracks.values()) > 1:
        format, bits, note = "wav", "float", TOO_LOUD
    described = {**manifest, "files": [f"{file_name(name)}.{format}" for name in tracks]}
    paths = replace(separation, manifest=described).save(folder, format, bits, force=True, metadata=metadata)
    roles = roles_of(list(separation.sources)).items()
    return [FileTrack.of(name, role, path) for (name, role), path in zip(roles, paths, strict=True)], note


def remove_others(folder: Path, kept: Sequence[FileTrack]) -> None:
    """Remove sound files of earlier tracks, which had another format."""
    names = {track.path.name for track in kept}
    for path in folder.iterdir():
        if path.suffix in (".flac", ".wav") and path.name not in names and not path.name.startswith("."):
            path.unlink(missing_ok=True)


def draw_tracks(tracks: Sequence[FileTrack], folder: Path) -> dict[str, Path]:
    """Draw the spectrogram of each track, the recording first; return the pictures by track."""
    return spectrograms.save_spectrograms({track.name: track.path for track in tracks}, folder)
