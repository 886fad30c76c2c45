"""Render MIDI with the program FluidSynth; the same MIDI, soundfont and version give the same samples."""

import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagbox.errors import TagBoxError

RATE = 44_100
"""Hz."""
CHANNELS = 2
FRAME_BYTES = 4 * CHANNELS
"""Of a sample of each channel as FluidSynth writes them, float32."""
GAIN = 0.5
START_SECONDS = 60.0
"""Longer than FluidSynth takes to load the largest soundfonts from a slow disk."""
MAX_SLOWNESS = 30.0
"""Seconds that it may take for a second of music; it takes a hundredth of one."""
DEBIAN_PACKAGES = "fluidsynth musescore-general-soundfont-small"
SOUNDFONTS = (
    "/usr/share/sounds/sf3/MuseScore_General_Lite.sf3",
    "/usr/share/sounds/sf3/MuseScore_General.sf3",
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/soundfonts/FluidR3_GM.sf2",
)
"""Paths of free General MIDI soundfonts (both MIT) on Debian, Fedora and Arch, the smaller first."""


def find_program() -> str:
    """Return the path of FluidSynth.

    Raises:
        TagBoxError: FluidSynth is not installed; the message says how to install it.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise TagBoxError(
            f"the program fluidsynth is not installed; on Debian or Ubuntu: apt-get install "
            f"{DEBIAN_PACKAGES}, on macOS: brew install fluid-synth"
        )
    return program


def find_soundfont(given: Path | None = None) -> Path:
    """Return the soundfont `given`, or else the first that is installed.

    Raises:
        TagBoxError: none is installed, or `given` is not a soundfont.
    """
    if given is None:
        installed = next((Path(name) for name in SOUNDFONTS if Path(name).is_file()), None)
        if installed is None:
            raise TagBoxError(
                "no General MIDI soundfont is installed; on Debian or Ubuntu: apt-get install "
                "musescore-general-soundfont-small (or fluid-soundfont-gm), or give a .sf2 or .sf3 file "
                "with --soundfont"
            )
        return installed.resolve()
    try:
        with given.open("rb") as file:
            header = file.read(12)
    except OSError as error:
        raise TagBoxError(
            f"the soundfont {given} cannot be read ({error.strerror}); give an .sf2 or .sf3 file"
        ) from error
    if header[:4] != b"RIFF" or header[8:12] != b"sfbk":
        raise TagBoxError(f"{given} is no soundfont; give an .sf2 or .sf3 file")
    return given.resolve()


def program_version() -> str:
    """Return FluidSynth's version.

    Raises:
        TagBoxError: FluidSynth is not installed, or does not run.
    """
    words = _run([find_program(), "--version"]).stdout.split()
    return next((word for word in words if word[:1].isdigit()), "unknown")


def render(
    midi: bytes, soundfont: Path, seconds: float, reverb: bool = True, chorus: bool = False
) -> NDArray[np.float64]:
    """Render a MIDI file as (samples, 2) at `RATE`, exactly `seconds` long and not limited to [-1, 1].

    Args:
        midi: contents of the file.
        soundfont: path of an .sf2 or .sf3 file.
        seconds: length of the result.
        reverb: of FluidSynth.
        chorus: of FluidSynth.

    Raises:
        TagBoxError: FluidSynth is missing or fails.
    """
    samples = round(seconds * RATE)
    with tempfile.TemporaryDirectory() as folder:
        score = Path(folder, "score.mid")
        score.write_bytes(midi)
        # Loading only the samples that are played saves time and changes nothing else. FluidSynth does not
        # look whether what it writes arrives on the disk; a pipe loses nothing.
        command = [find_program(), "-niq", "-o", "synth.dynamic-sample-loading=1", "-g", str(GAIN)]
        command += ["-R", str(int(reverb)), "-C", str(int(chorus)), "-O", "float", "-T", "raw"]
        command += ["-F", "/dev/stdout", "-r", str(RATE), str(soundfont), str(score)]
        content = _first_bytes(
            command, samples * FRAME_BYTES, START_SECONDS + MAX_SLOWNESS * seconds, Path(folder, "messages")
        )
    # What follows a fault in the middle of a frame is not there.
    whole = content[: len(content) // FRAME_BYTES * FRAME_BYTES]
    audio = np.frombuffer(whole, np.float32).reshape(-1, CHANNELS).astype(np.float64)
    return np.pad(audio, ((0, samples - len(audio)), (0, 0)))


def _first_bytes(command: list[str], count: int, timeout_seconds: float, messages: Path) -> bytes:
    """Run FluidSynth until it has written `count` bytes to standard output, or has ended.

    Args:
        command: to run.
        count: of bytes that are wanted; a damaged score can go on for ever.
        timeout_seconds: that it may take.
        messages: a file for what it has to say.

    Raises:
        TagBoxError: FluidSynth fails, writes nothing, or takes too long.
    """
    began = time.monotonic()
    with messages.open("w+", errors="replace") as said:
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said)
        except OSError as error:
            raise _does_not_run(error) from error
        too_late = threading.Timer(timeout_seconds, process.kill)
        too_late.start()
        try:
            assert process.stdout is not None
            content = process.stdout.read(count)
            is_enough = len(content) == count
            if not is_enough:
                process.wait()
        finally:
            too_late.cancel()
            process.kill()
            process.communicate()
        said.seek(0)
        message = _last_line(said.read())
    if is_enough:
        return content
    if time.monotonic() - began >= timeout_seconds:
        raise _takes_too_long(timeout_seconds)
    if process.returncode:
        raise _fails(message)
    if not content:
        raise TagBoxError(f"FluidSynth wrote nothing: {message}")
    return content


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, check=True, capture_output=True, text=True, errors="replace", timeout=START_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise _takes_too_long(START_SECONDS) from error
    except subprocess.CalledProcessError as error:
        raise _fails(_last_line(error.stderr)) from error
    except OSError as error:
        raise _does_not_run(error) from error


def _takes_too_long(seconds: float) -> TagBoxError:
    return TagBoxError(f"FluidSynth did not end within {seconds:.0f} s; try another soundfont or MIDI file")


def _fails(message: str) -> TagBoxError:
    return TagBoxError(f"FluidSynth failed ({message}); try another soundfont or MIDI file")


def _does_not_run(error: OSError) -> TagBoxError:
    return TagBoxError(
        f"FluidSynth does not run ({error.strerror}); install it anew: apt-get install {DEBIAN_PACKAGES}"
    )


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")
