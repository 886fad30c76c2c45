"""``tagbox dataset``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagbox.cli.error_messages import check_folder
from tagbox.cli.output import Output, Quiet

if TYPE_CHECKING:
    from tagbox.rendering.dataset import Made


def dataset(
    folder: Annotated[Path, typer.Argument(help="Folder to write; new, empty or begun.", show_default=False)],
    midi: Annotated[
        Path | None,
        typer.Option(help="Folder of MIDI files to render; arrangements of old tunes when left out."),
    ] = None,
    soundfont: Annotated[
        Path | None, typer.Option(help="A .sf2 or .sf3 file; one that is installed when left out.")
    ] = None,
    tracks: Annotated[int, typer.Option(help="How many; sixteen hold every family of instruments.")] = 16,
    seconds: Annotated[float, typer.Option(help="Of each track.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Of tunes, instruments and songs.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Make a small data set with known stems, laid out as Slakh2100, for: tagbox evaluate.

    Renders tunes in the public domain, arranged by rules for duets and bands, or your MIDI files. Needs
    FluidSynth and a soundfont: apt-get install fluidsynth musescore-general-soundfont-small. A run that was
    interrupted goes on with the same command.

    Examples:

      tagbox dataset data/small

      tagbox dataset data/songs --midi songs/ --tracks 30 --seconds 30
    """
    feel = Output(quiet)
    check_folder(folder)

    from tagbox.rendering import dataset as data
    from tagbox.rendering import fluidsynth

    fluidsynth.find()
    request = data.Request(tracks, seconds, seed, fluidsynth.find_soundfont(soundfont), midi)
    feel.note(f"{tracks} tracks of {seconds:g} s with {request.soundfont.name}")

    def say(made: "Made") -> None:
        state = "" if made.fresh else " (there already)"
        feel.note(f"{made.number} of {tracks}: {made.title}: {', '.join(made.classes)}{state}")

    count = data.build(folder, request, say, lambda line: feel.note(f"skipped: {line}"))
    if count < tracks:
        feel.note(f"only {count} of {tracks} tracks: the MIDI files gave out")
    feel.result(folder)
