"""``tagbox dataset``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagbox.cli.checks import check_folder
from tagbox.cli.output import Output, Quiet

if TYPE_CHECKING:
    from tagbox.rendering.dataset import RenderedTrack


def dataset(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder to write: a new or empty one, or an unfinished set.", show_default=False),
    ],
    midi: Annotated[
        Path | None,
        typer.Option(help="Folder of MIDI files to render; if left out, arrangements of old tunes."),
    ] = None,
    soundfont: Annotated[
        Path | None, typer.Option(help="A .sf2 or .sf3 file; if left out, one that is installed.")
    ] = None,
    tracks: Annotated[int, typer.Option(help="Number of tracks; 16 cover every family of instruments.")] = 16,
    seconds: Annotated[float, typer.Option(help="Length of each track in seconds.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Seed of the choice of tunes, instruments and songs.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Render a small data set with known stems for `tagbox evaluate`, laid out as Slakh2100.

    Renders tunes in the public domain, arranged by rules for duets and bands,
    or your MIDI files. Needs FluidSynth and a soundfont: apt-get install
    fluidsynth musescore-general-soundfont-small. After an interruption, the
    same command continues.

    Examples:

      tagbox dataset data/small

      tagbox dataset data/songs --midi songs/ --tracks 30 --seconds 30
    """
    output = Output(quiet)
    check_folder(folder)

    from tagbox.rendering import fluidsynth
    from tagbox.rendering.dataset import DatasetOptions, build_dataset

    fluidsynth.find_program()
    options = DatasetOptions(tracks, seconds, seed, fluidsynth.find_soundfont(soundfont), midi)
    output.print_note(f"{tracks} tracks of {seconds:g} s with {options.soundfont.name}")
    reporter = _TrackReporter(tracks, output)
    count = build_dataset(folder, options, reporter.track, reporter.skipped)
    if count < tracks:
        output.print_note(f"only {count} of {tracks} tracks: there are no more usable MIDI files")
    output.print_result(folder)


class _TrackReporter:
    """Prints a line for each track."""

    def __init__(self, tracks: int, output: Output) -> None:
        self._tracks = tracks
        self._output = output

    def track(self, track: "RenderedTrack") -> None:
        """Print what a track holds."""
        state = "" if track.fresh else " (exists already)"
        self._output.print_note(
            f"{track.number} of {self._tracks}: {track.title}: {', '.join(track.classes)}{state}"
        )

    def skipped(self, reason: str) -> None:
        """Print why a song is not used."""
        self._output.print_note(f"skipped: {reason}")
