"""Make small valid files of every format that the program reads."""

import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import save

from benchmarks.robustness import readers
from tagbox.rendering.midi import encode_midi
from tagbox.rendering.scores import Control, Note, Part
from tagbox.weights import cache_file, catalogue

RATE = 44_100
SECONDS = 0.3
PAGED_SECONDS = 4.0
"""Of Ogg files, in which a page of up to a second is lost with each bit of it."""

FFMPEG_OPTIONS = {
    "opus": ("ogg", "-c:a", "libopus", "-b:a", "64k"),
    "mp3 of variable bit rate": ("mp3", "-c:a", "libmp3lame", "-q:a", "4"),
    "m4a (AAC)": ("m4a", "-c:a", "aac"),
    "m4a (ALAC)": ("m4a", "-c:a", "alac"),
    "mkv (FLAC)": ("mkv", "-c:a", "flac"),
    "webm (Opus)": ("webm", "-c:a", "libopus"),
    "wma": ("wma", "-c:a", "wmav2"),
    "ac3": ("ac3", "-c:a", "ac3"),
    "aac (ADTS)": ("aac", "-c:a", "aac"),
}

SNDFILE_FORMATS = {
    "wav": ("WAV", "PCM_16", 2),
    "wav (float)": ("WAV", "FLOAT", 2),
    "wav (six channels)": ("WAVEX", "PCM_24", 6),
    "wav (ADPCM)": ("WAV", "IMA_ADPCM", 1),
    "rf64": ("RF64", "PCM_16", 2),
    "w64": ("W64", "PCM_16", 2),
    "flac": ("FLAC", "PCM_16", 2),
    "ogg (Vorbis)": ("OGG", "VORBIS", 2),
    "mp3": ("MP3", "MPEG_LAYER_III", 2),
    "aiff": ("AIFF", "PCM_16", 2),
    "aiff (six channels, 24 bits)": ("AIFF", "PCM_24", 6),
    "au": ("AU", "PCM_16", 2),
    "caf": ("CAF", "PCM_16", 2),
    "caf (ALAC)": ("CAF", "ALAC_16", 2),
}

OTHER_SNDFILE_FORMATS = {
    "voc": ("VOC", "PCM_16"), "nist": ("NIST", "PCM_16"), "ircam": ("IRCAM", "PCM_16"),
    "paf": ("PAF", "PCM_16"), "svx": ("SVX", "PCM_16"), "mat4": ("MAT4", "PCM_16"),
    "mat5": ("MAT5", "PCM_16"), "pvf": ("PVF", "PCM_16"), "sds": ("SDS", "PCM_16"),
    "htk": ("HTK", "PCM_16"), "xi": ("XI", "DPCM_16"), "avr": ("AVR", "PCM_16"), "mpc2k": ("MPC2K", "PCM_16"),
    "wve": ("WVE", "ALAW"),
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """Files of one format, and the function of the program that reads them.

    Attributes:
        name: for the report.
        data: a valid file.
        ending: of its name.
        read: reads the file at a path, as the program does.
        is_json: whether it may be damaged as JSON.
        weight: how many of the inputs it gets, against the others; formats that take processes get fewer.
    """

    name: str
    data: bytes
    ending: str
    read: Callable[[Path], object]
    is_json: bool = False
    weight: float = 1.0


def make_targets() -> list[Target]:
    """Make a target of every format for which this machine has what it takes."""
    return [*_audio_targets(), *_weights_targets(), *_json_targets(), *_music_targets()]


def music(channels: int, rate: int = RATE, seconds: float = SECONDS) -> np.ndarray:
    """Return two tones and some noise (samples, channels), the same each time."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal((len(time), channels)) * 0.01
    tones = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.2 * np.sin(2 * np.pi * 660 * time)
    return tones[:, None] + noise


def _audio_targets() -> list[Target]:
    targets = []
    for name, (format, subtype, channels) in SNDFILE_FORMATS.items():
        if format in soundfile.available_formats():
            data = _encoded(format, subtype, channels)
            targets.append(Target(name, data, format.lower(), readers.read_audio, weight=1.5))
    for name, (format, subtype) in OTHER_SNDFILE_FORMATS.items():
        if format in soundfile.available_formats():
            rate = 8000 if format == "WVE" else RATE
            data = _encoded(format, subtype, 1, rate)
            targets.append(Target(name, data, format.lower(), readers.read_audio, weight=0.2))
    if shutil.which("ffmpeg"):
        with tempfile.TemporaryDirectory() as folder:
            source, longer = Path(folder, "source.wav"), Path(folder, "longer.wav")
            soundfile.write(source, music(2), RATE)
            soundfile.write(longer, music(2, seconds=PAGED_SECONDS), RATE)
            for name, (ending, *options) in FFMPEG_OPTIONS.items():
                path = Path(folder, f"seed.{ending}")
                input = longer if ending == "ogg" else source
                command = ["ffmpeg", "-y", "-v", "error", "-i", str(input), *options, str(path)]
                if subprocess.run(command, check=False, capture_output=True).returncode == 0:
                    weight = 0.6 if ending in ("ogg", "mp3") else 0.2
                    targets.append(Target(name, path.read_bytes(), ending, readers.read_audio, weight=weight))
    return targets


def _encoded(format: str, subtype: str, channels: int, rate: int = RATE) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "seed")
        seconds = PAGED_SECONDS if format == "OGG" else SECONDS
        soundfile.write(path, music(channels, rate, seconds), rate, subtype=subtype, format=format)
        return path.read_bytes()


def _weights_targets() -> list[Target]:
    generator = torch.Generator().manual_seed(0)
    weights = {f"layer{i}.weight": torch.randn(4, 8, generator=generator) for i in range(3)}
    settings = {"model": weights, "settings": {"rate": 44_100, "names": ["a", "b"], "nothing": None}}
    targets = []
    for name, is_zip in (("checkpoint (zip)", True), ("checkpoint (legacy)", False)):
        file = io.BytesIO()
        torch.save(settings, file, _use_new_zipfile_serialization=is_zip)
        targets.append(Target(name, file.getvalue(), "pth", readers.read_weights, weight=3))
    cached = _cache_file()
    return [
        *targets,
        Target("safetensors", save(weights), "safetensors", readers.read_weights, weight=3),
        Target("safetensors (of the cache)", cached, "safetensors", readers.read_cached, weight=2),
    ]


def _cache_file() -> bytes:
    model = catalogue.find_model("tagger", "fcn", "mtat")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cached.safetensors")
        weights = {"layer.weight": torch.arange(32.0).reshape(4, 8)}
        cache_file.write_cache_file(path, weights, {"model": model.identifier})
        return path.read_bytes()


def _json_targets() -> list[Target]:
    request = json.dumps(readers.EVALUATION_REQUEST, indent=2).encode()
    records = "".join(json.dumps(record) + "\n" for record in readers.EVALUATION_RECORDS).encode()
    return [
        Target("run.json", request, "json", readers.read_request, is_json=True, weight=3),
        Target("results.jsonl", records, "jsonl", readers.read_records, is_json=True, weight=3),
    ]


def _music_targets() -> list[Target]:
    notes = tuple(Note(0.25 * i, 0.2, 60 + i % 12, 90) for i in range(24))
    controls = (Control(0.5, b"\xb0\x07\x50"),)
    midi = encode_midi([Part(0, notes, controls), Part(40, notes), Part(None, notes)])
    targets = [Target("MIDI", midi, "mid", readers.read_midi, weight=4)]
    if shutil.which("fluidsynth"):
        targets.append(Target("soundfont", _soundfont(), "sf2", readers.read_soundfont, weight=0.2))
    return targets


def _soundfont() -> bytes:
    from benchmarks.robustness.soundfonts import write

    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder, "seed.sf2")).read_bytes()
