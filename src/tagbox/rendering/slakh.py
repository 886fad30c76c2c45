"""One track in Slakh2100's layout: mix.flac, stems/SNN.flac, MIDI/SNN.mid and metadata.yaml.

Stems are rounded to 16 bits first and the mix is the sum of their integers, so the sum is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from tagbox.errors import TagBoxError
from tagbox.rendering import midi
from tagbox.rendering.fluidsynth import RATE, render
from tagbox.rendering.general_midi import program_name
from tagbox.rendering.scores import Part, Score

PEAK = 0.89
"""Of the mix: 1 dB below full scale."""
SILENT = 1e-4
"""Peak below which a part made no sound."""
FADE_SECONDS = 0.5
DRUMS_PROGRAM = 128
"""What Slakh2100 writes for the drum kit, which has no program."""

Audio = NDArray[np.float64]


@dataclass(frozen=True)
class Stem:
    """A part and its 16-bit samples (samples,)."""

    part: Part
    samples: NDArray[np.int32]


def stems_of(score: Score, soundfont: Path, seconds: float) -> tuple[list[Stem], float]:
    """Every part that sounds, mono at `RATE`, at its level; and the gain that all of them got.

    Raises:
        TagBoxError: nothing sounds at all, or FluidSynth fails.
    """
    sounding = []
    for part in score.parts:
        audio = _leveled(render(midi.write([part]), soundfont, seconds).mean(axis=1), part.level)
        if audio is not None:
            sounding.append((part, _faded(audio)))
    if not sounding:
        raise TagBoxError(
            f"{soundfont.name} plays nothing of {score.title}; give a General MIDI soundfont with --soundfont"
        )
    tracks = [audio for _, audio in sounding]
    loudest = max(float(np.abs(track).max()) for track in (*tracks, np.sum(tracks, axis=0)))
    gain = PEAK / loudest
    return [Stem(part, _rounded(audio * gain)) for part, audio in sounding], gain


def _leveled(audio: Audio, level: float | None) -> Audio | None:
    if np.abs(audio).max() < SILENT:
        return None
    if level is None:
        return audio
    scaled: Audio = audio / np.sqrt(np.mean(audio**2)) * 10 ** (level / 20)
    return scaled


def _faded(audio: Audio) -> Audio:
    """The end faded out: notes are cut off where the window ends."""
    length = min(len(audio), round(FADE_SECONDS * RATE))
    curve = np.cos(np.linspace(0, np.pi / 2, length)) ** 2
    return np.concatenate([audio[: len(audio) - length], audio[len(audio) - length :] * curve])


def _rounded(audio: Audio) -> NDArray[np.int32]:
    return np.round(audio * 2**15).astype(np.int32)


def write_track(
    folder: Path, score: Score, stems: Sequence[Stem], soundfont: str, gain: float, identity: str
) -> None:
    """Write a track into `folder`, which is there and empty."""
    (folder / "stems").mkdir()
    (folder / "MIDI").mkdir()
    about: dict[str, Any] = {}
    for number, stem in enumerate(stems):
        name = f"S{number:02d}"
        _flac(folder / "stems" / f"{name}.flac", stem.samples)
        (folder / "MIDI" / f"{name}.mid").write_bytes(midi.write([stem.part]))
        about[name] = {
            "audio_rendered": True,
            "inst_class": stem.part.family,
            "is_drum": stem.part.program is None,
            "midi_program_name": program_name(stem.part.program),
            "midi_saved": True,
            "plugin_name": soundfont,
            "program_num": DRUMS_PROGRAM if stem.part.program is None else stem.part.program,
        }
    _flac(folder / "mix.flac", np.sum([stem.samples for stem in stems], axis=0))
    metadata = {
        "UUID": identity,
        "audio_dir": "stems",
        "midi_dir": "MIDI",
        "normalized": False,
        "overall_gain": gain,
        "stems": about,
        "title": score.title,
    }
    text = yaml().safe_dump(metadata, allow_unicode=True)
    (folder / "metadata.yaml").write_text(text, encoding="utf-8")


def _flac(path: Path, samples: NDArray[np.int32]) -> None:
    soundfile.write(path, samples.astype(np.int16), RATE, subtype="PCM_16", compression_level=1.0)


def yaml() -> ModuleType:
    """PyYAML.

    Raises:
        TagBoxError: it is missing.
    """
    try:
        import yaml as module
    except ImportError as error:
        raise TagBoxError(
            "Slakh's metadata are YAML; to write them: pip install 'tagbox[eval]' (or pip install pyyaml)"
        ) from error
    found: ModuleType = module
    return found
