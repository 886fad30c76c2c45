"""How long it will take and how much memory, said before long work begins.

What a run costs is close to linear in the seconds of audio, in how many components there are, and in steps.
The constants are processor seconds and bytes of one thread of an otherwise idle Intel Xeon with AVX-512 BF16,
fitted to what --verbose tells of runs such as

    OMP_NUM_THREADS=1 tagbox separate band.wav --tags drums -o out --preset default --duration 30 --verbose

with 5, 15, 30 and 120 s, of the presets default, best, fast and steered, of transfer, and of paper with the
embedded generator; Jukebox's are from benchmarks/loop.py, 8 s, in bfloat16. Another machine is faster or
slower, so the figures are rounded, and the progress display corrects them from the first steps on.
"""

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tagbox.cli.output import Output
from tagbox.tags.vocabularies import EXCLUSIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tagbox.presets import Settings

LOADING_SECONDS = 1.3
"""Imports and models."""
COMPONENT = 9e-4
"""Seconds for a second of one component: found, rendered, brought to the taggers' rate."""
COMPONENT_HEARD = 9e-4
"""Seconds for a second of one component that is heard alone (begin heard)."""
STREAMED_COMPONENT = 4e-4
"""Seconds for a second of one component of a long recording whose shapes are known."""
PASSING = 0.02
"""Seconds for a second of audio that is read, heard before and after, and written."""
HEARING = 0.013
"""Seconds for a second that a published tagger hears in each step, forwards and backwards."""
GENERATING = {"embedded": 0.05, "jukebox": 0.1}
"""Seconds for a second of audio in each step, by generator; another generator counts as the embedded one."""
ENCODING = 0.2
"""Seconds for a second of audio whose latents are found, and what is rendered of them at the end."""
MASKING = 0.0045
"""Seconds for a second of audio in each step, for each FFT size of the masks."""
EXACT = 1.6
"""How much longer steps in float32 take."""
TRAINING = 5.6e-6
"""Seconds for a sample of a training step, at a width of 32, in bfloat16."""
WIDER = 0.65
"""The power of the width that training takes, from 32 to 64."""
PARALLEL = 0.7
"""The part of all this that several cores share (Amdahl's law)."""

BASE_BYTES = 330e6
"""Python, PyTorch and the models."""
GATES_BYTES = 7e6
"""For a second of audio that is taken apart into components."""
COMPONENT_BYTES = 0.1e6
"""For a second of one component."""
TRAINING_BYTES = 5e3
"""For a sample of a training step, at a width of 32."""
STEP_BYTES = 30e6
"""For a second of every source, for each published tagger: what the way back needs."""
LISTENER = 0.1
"""Of a published tagger, what the listener takes."""
GENERATOR_BYTES = {"embedded": 80e6, "jukebox": 100e6}
"""For a second of audio: what the way back through a generator needs."""

WORTH_SAYING = 5.0
"""Seconds; what takes less needs no estimate."""


@dataclass(frozen=True)
class Forecast:
    """What a run is about to take: seconds by the clock, and bytes at the most."""

    seconds: float
    bytes: float

    def __str__(self) -> str:
        return f"about {spoken_seconds(self.seconds)}, {spoken_bytes(self.bytes)}"


def expect(
    settings: "Settings", seconds: float, channels: int, sources: int, cores: int | None = None
) -> Forecast:
    """What separating or transforming `seconds` of audio takes on a CPU.

    Args:
        channels: of the recording.
        sources: how many are asked for.
        cores: that share the work; this machine's when left out.
    """
    from tagbox.pipeline.streaming import learns_once

    long = 0 < settings.segment < seconds
    piece = settings.segment if long else seconds
    taggers = sum(LISTENER if name.partition("/")[0] in EXCLUSIVE else 1.0 for name in settings.taggers)
    hearing = taggers * HEARING
    slower = EXACT if settings.precision == "float32" else 1.0
    if settings.steer == "gates":
        components = settings.components * (settings.factorisations + settings.factorisations // 2)
        each = COMPONENT + (COMPONENT_HEARD if settings.begin == "heard" else 0.0)
        # Each source and what is left without it.
        steps = settings.steps * 2 * sources * hearing * slower
        learnt = piece if learns_once(settings) else seconds
        work = learnt * (components * each + steps) + seconds * PASSING
        if learnt < seconds:
            work += seconds * components * STREAMED_COMPONENT * (0.5 + channels / 4)
        held = piece * (GATES_BYTES + components * COMPONENT_BYTES + sources * taggers * STEP_BYTES)
    else:
        known = settings.generator if settings.generator in GENERATING else "embedded"
        step = (GENERATING[known] + len(settings.fft) * (MASKING + hearing)) * slower
        work = seconds * (PASSING + sources * (ENCODING + settings.steps * step))
        held = piece * (GENERATOR_BYTES[known] + taggers * STEP_BYTES)
    return Forecast(_by_the_clock(LOADING_SECONDS + work, cores), BASE_BYTES + held)


def expect_training(
    levels: int, steps: int, batch: int, samples: int, width: int, cores: int | None = None
) -> Forecast:
    """What training a generator takes on a CPU: `steps` of each level, of `batch` excerpts of `samples`."""
    size = batch * samples * (width / 32) ** WIDER
    return Forecast(
        _by_the_clock(LOADING_SECONDS + levels * steps * size * TRAINING, cores),
        BASE_BYTES + size * TRAINING_BYTES,
    )


def together(parts: "Sequence[Forecast]", jobs: int = 1) -> Forecast:
    """One after the other, or in `jobs` processes at a time."""
    most = max((part.bytes for part in parts), default=0.0)
    loaded_again = LOADING_SECONDS * max(0, len(parts) - 1)
    return Forecast((sum(part.seconds for part in parts) - loaded_again) / jobs, most * jobs)


def announce(
    feel: Output, settings: "Settings", seconds: float, channels: int, sources: int, device: str
) -> None:
    """Say what is about to be taken, where it is long, and warn where the memory does not suffice."""
    if not on_cpu(device):
        return
    say(feel, expect(settings, seconds, channels, sources), less_memory(settings))


def say(feel: Output, expected: Forecast, less: str) -> None:
    """The line, and the warning that may follow it: `less` says how to need less memory."""
    if expected.seconds >= WORTH_SAYING:
        feel.note(str(expected))
    free = free_memory()
    if free is not None and expected.bytes > free:
        feel.note(f"it may need more memory than the {spoken_bytes(free)} that are free; {less}")


def less_memory(settings: "Settings") -> str:
    """What to change where the memory does not suffice."""
    shorter = max(3.0, (settings.segment or 30.0) / 2)
    told = f"take shorter segments, for example --segment {shorter:g}"
    if settings.steer == "gates" and settings.factorisations > 1:
        return f"{told}, or --factorisations {settings.factorisations // 2}"
    return told


def on_cpu(device: str) -> bool:
    """Whether the work is the processor's; what a GPU takes was not measured."""
    from tagbox.kernels import devices

    return devices.select_device(device).type == "cpu"


def free_memory() -> float | None:
    """Bytes that a program can still have, where the system tells; a container's limit counts."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit, used = (float((group / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, limit - used)
    return free


def peak_memory() -> float:
    """Bytes that this process has held at the most; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) if sys.platform == "darwin" else peak * 1024.0


def spoken_seconds(seconds: float) -> str:
    """A time as people say it.

    >>> [spoken_seconds(each) for each in (3.2, 44, 75, 400, 9000)]
    ['3 s', '45 s', '80 s', '7 min', '2.5 h']
    """
    if seconds < 20:
        return f"{max(1, round(seconds))} s"
    if seconds < 100:
        return f"{5 * round(seconds / 5)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def spoken_bytes(size: float) -> str:
    """An amount of memory as people say it.

    >>> spoken_bytes(912e6)
    '0.9 GB'
    """
    return f"{size / 1e9:.1f} GB"


def _by_the_clock(work: float, cores: int | None) -> float:
    threads = cores or int(os.environ.get("OMP_NUM_THREADS") or 0) or os.cpu_count() or 1
    return work * (1 - PARALLEL + PARALLEL / threads)
