"""FluidSynth as a program: MIDI and a soundfont in, samples out. The same three give the same samples."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tagbox.errors import TagBoxError

RATE = 44_100
GAIN = 0.5
PACKAGES = "fluidsynth musescore-general-soundfont-small"
SOUNDFONTS = (
    "/usr/share/sounds/sf3/MuseScore_General_Lite.sf3",
    "/usr/share/sounds/sf3/MuseScore_General.sf3",
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/soundfonts/FluidR3_GM.sf2",
)
"""Where Debian, Fedora and Arch put free General MIDI soundfonts (both MIT), the smaller first."""


def find() -> str:
    """The path of the program.

    Raises:
        TagBoxError: it is not installed; says how to get it.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise TagBoxError(
            f"the program fluidsynth is not installed; on Debian or Ubuntu: apt-get install {PACKAGES}, "
            "on macOS: brew install fluid-synth"
        )
    return program


def find_soundfont(given: Path | None = None) -> Path:
    """The soundfont to play: the one that was asked for, or the first that is installed.

    Raises:
        TagBoxError: there is none, or `given` is no soundfont.
    """
    if given is None:
        found = next((Path(name) for name in SOUNDFONTS if Path(name).is_file()), None)
        if found is None:
            raise TagBoxError(
                "no General MIDI soundfont is installed; on Debian or Ubuntu: apt-get install "
                "musescore-general-soundfont-small (or fluid-soundfont-gm), or give a .sf2 or .sf3 file "
                "with --soundfont"
            )
        return found.resolve()
    try:
        with given.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise TagBoxError(
            f"the soundfont {given} cannot be read ({error.strerror}); give an .sf2 or .sf3 file"
        ) from error
    if head[:4] != b"RIFF" or head[8:12] != b"sfbk":
        raise TagBoxError(f"{given} is no soundfont; give an .sf2 or .sf3 file")
    return given.resolve()


def version() -> str:
    """What the program calls its version.

    Raises:
        TagBoxError: it is not installed, or does not run.
    """
    said = _run([find(), "--version"]).stdout.split()
    return next((word for word in said if word[:1].isdigit()), "unknown")


def render(
    midi: bytes, soundfont: Path, seconds: float, reverb: bool = True, chorus: bool = False
) -> NDArray[np.float64]:
    """The sound of a MIDI file as (samples, 2) at `RATE`, exactly `seconds` long.

    Not limited to [-1, 1].

    Raises:
        TagBoxError: FluidSynth is missing or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        score, wav = Path(folder, "score.mid"), Path(folder, "score.wav")
        score.write_bytes(midi)
        # Loading only the samples that are played changes nothing but the time it takes.
        command = [find(), "-niq", "-o", "synth.dynamic-sample-loading=1", "-g", str(GAIN)]
        command += ["-R", str(int(reverb)), "-C", str(int(chorus)), "-O", "float", "-T", "wav"]
        command += ["-F", str(wav), "-r", str(RATE), str(soundfont), str(score)]
        said = _run(command)
        if not wav.is_file():
            raise TagBoxError(f"FluidSynth wrote nothing: {_last_line(said.stderr)}")
        audio, _ = soundfile.read(wav, always_2d=True)
    samples = round(seconds * RATE)
    return np.pad(audio[:samples], ((0, max(0, samples - len(audio))), (0, 0)))


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, errors="replace")
    except subprocess.CalledProcessError as error:
        raise TagBoxError(
            f"FluidSynth failed ({_last_line(error.stderr)}); try another soundfont or MIDI file"
        ) from error
    except OSError as error:
        raise TagBoxError(
            f"FluidSynth does not run ({error.strerror}); install it anew: apt-get install {PACKAGES}"
        ) from error


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
