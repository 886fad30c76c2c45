"""Write a track in Slakh2100's layout: mix.flac, stems/SNN.flac, MIDI/SNN.mid and metadata.yaml.

Stems are rounded to 16 bits first and the mix is the sum of their integers, so that stems add up exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagbox.audio.files import append_samples, open_written
from tagbox.errors import TagBoxError
from tagbox.rendering import midi
from tagbox.rendering.fluidsynth import RATE, render
from tagbox.rendering.general_midi import program_name
from tagbox.rendering.scores import Part, Score

MIX_PEAK = 0.89
"""1 dB below full scale."""
MIN_PART_PEAK = 1e-4
"""A quieter part counts as silent and is left out."""
FADE_SECONDS = 0.5
DRUMS_PROGRAM = 128
"""Slakh2100's number for the drum kit, which has no program."""

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Stem:
    """A part and its audio, (samples,) of 16-bit integers."""

    part: Part
    samples: NDArray[np.int32]


def render_stems(score: Score, soundfont: Path, seconds: float) -> tuple[list[Stem], float]:
    """Render every part that is not silent, mono at `RATE`, at its level.

    Returns:
        the stems, and the gain that was applied to all of them.

    Raises:
        TagBoxError: all parts are silent, or FluidSynth fails.
    """
    sounding = []
    for part in score.parts:
        audio = _at_level(render(midi.encode_midi([part]), soundfont, seconds).mean(axis=1), part.level)
        if audio is not None:
            sounding.append((part, _fade_out(audio)))
    if not sounding:
        raise TagBoxError(
            f"{soundfont.name} plays nothing of {score.title}; give a General MIDI soundfont with --soundfont"
        )
    tracks = [audio for _, audio in sounding]
    loudest = max(float(np.abs(track).max()) for track in (*tracks, np.sum(tracks, axis=0)))
    gain = MIX_PEAK / loudest
    return [Stem(part, _to_integers(audio * gain)) for part, audio in sounding], gain


def _at_level(audio: Samples, level: float | None) -> Samples | None:
    """Scale to an RMS of `level` dB; None where the part is silent."""
    if np.abs(audio).max() < MIN_PART_PEAK:
        return None
    if level is None:
        return audio
    scaled: Samples = audio / np.sqrt(np.mean(audio**2)) * 10 ** (level / 20)
    return scaled


def _fade_out(audio: Samples) -> Samples:
    """Fade out the end, where notes are cut off."""
    length = min(len(audio), round(FADE_SECONDS * RATE))
    curve = np.cos(np.linspace(0, np.pi / 2, length)) ** 2
    return np.concatenate([audio[: len(audio) - length], audio[len(audio) - length :] * curve])


def _to_integers(audio: Samples) -> NDArray[np.int32]:
    return np.round(audio * 2**15).astype(np.int32)


def write_track(
    folder: Path, score: Score, stems: Sequence[Stem], soundfont: str, gain: float, identity: str
) -> None:
    """Write a track into `folder`, which exists and is empty.

    Args:
        folder: of the track.
        score: for its title.
        stems: in the order of their numbers.
        soundfont: name for the metadata.
        gain: that was applied to all stems.
        identity: the track's UUID.
    """
    (folder / "stems").mkdir()
    (folder / "MIDI").mkdir()
    stems_metadata: dict[str, Any] = {}
    for number, stem in enumerate(stems):
        name = f"S{number:02d}"
        _write_flac(folder / "stems" / f"{name}.flac", stem.samples)
        (folder / "MIDI" / f"{name}.mid").write_bytes(midi.encode_midi([stem.part]))
        stems_metadata[name] = {
            "audio_rendered": True,
            "inst_class": stem.part.family,
            "is_drum": stem.part.program is None,
            "midi_program_name": program_name(stem.part.program),
            "midi_saved": True,
            "plugin_name": soundfont,
            "program_num": DRUMS_PROGRAM if stem.part.program is None else stem.part.program,
        }
    _write_flac(folder / "mix.flac", np.sum([stem.samples for stem in stems], axis=0))
    metadata = {
        "UUID": identity,
        "audio_dir": "stems",
        "midi_dir": "MIDI",
        "normalized": False,
        "overall_gain": gain,
        "stems": stems_metadata,
        "title": score.title,
    }
    text = require_yaml().safe_dump(metadata, allow_unicode=True)
    (folder / "metadata.yaml").write_text(text, encoding="utf-8")


def _write_flac(path: Path, samples: NDArray[np.int32]) -> None:
    with open_written(path, path, RATE, 1, "PCM_16", "FLAC", compression_level=1.0) as file:
        append_samples(file, samples.astype(np.int16), path)


def require_yaml() -> ModuleType:
    """Import PyYAML, which is optional.

    Raises:
        TagBoxError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise TagBoxError(
            "Slakh's metadata are YAML; to write them: pip install 'tagbox[eval]' (or pip install pyyaml)"
        ) from error
    module: ModuleType = yaml
    return module
