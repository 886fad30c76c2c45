"""The runs of the gallery: made by the commands that the page shows, and kept while they are up to date."""

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from scripts.gallery import files, measures
from scripts.gallery.examples import ROOT, SECONDS, Example, Setup
from tagbox import audio
from tagbox.atomic_files import write_atomically
from tagbox.evaluation.metrics import si_sdr
from tagbox.methods.registry import find_method
from tagbox.pipeline.prepare import SHARE_NETWORK
from tagbox.taggers.names import TaggerName
from tagbox.weights import store

KEY = "key"
UNUSED_SETTINGS = {
    "latents": ("components", "factorisations", "begin"),
    "gates": ("generator", "level", "quantiser"),
    "shares+gates": ("generator", "level", "quantiser"),
    "shares": ("generator", "level", "quantiser", "components", "factorisations"),
}
"""For each method, settings that have no effect: a new default of theirs makes no result out of date."""
NEUTRAL_SETTINGS: dict[str, Any] = {"without": [], "unheard": "kept"}
"""Values that change nothing: results that were made before there were such settings are not out of date."""


def read_excerpt(example: Example, track: str) -> audio.Audio:
    """Read the example's excerpt of its recording's mixture or of a stem."""
    return audio.read(example.file(track), example.start, SECONDS)


def effective_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that have an effect, as JSON stores them."""
    stored: dict[str, Any] = json.loads(json.dumps(settings))
    unused = UNUSED_SETTINGS[stored["steer"]]
    return {
        name: value
        for name, value in stored.items()
        if name not in unused and (name not in NEUTRAL_SETTINGS or value != NEUTRAL_SETTINGS[name])
    }


def result_key(example: Example, setup: Setup) -> dict[str, Any]:
    """Return everything that a result depends on: command, settings, and hashes of weights and recording."""
    settings = setup.settings
    weights = {}
    for name in settings.taggers:
        data, architecture = TaggerName.parse(name)
        weights[name] = audio.fingerprint(store.locate("tagger", architecture, data))
    method = find_method(settings.steer)
    if method.needs_share_network:
        weights[str(SHARE_NETWORK)] = audio.fingerprint(
            store.locate("tagger", SHARE_NETWORK.architecture, SHARE_NETWORK.data)
        )
    if method.needs_generator:
        weights[settings.generator] = audio.fingerprint(store.locate("generator", settings.generator))
    return {
        "command": example.command_line(setup),
        "settings": effective_settings(dataclasses.asdict(settings)),
        "weights": weights,
        "input": audio.fingerprint(example.file("mixture")),
    }


def result_tracks(example: Example) -> tuple[str, ...]:
    """Return the names of a run's tracks."""
    return ("result",) if example.command == "transfer" else ("source", "residual")


def recording_tracks(example: Example) -> tuple[str, ...]:
    """Return the names of the recording's own tracks: the mixture, and the reference stem if there is one."""
    return ("mixture",) if example.stem is None else ("mixture", example.stem)


def is_current(example: Example, setup: Setup, folder: Path) -> bool:
    """Tell whether the kept result is complete and was made with today's settings, weights and recording."""
    path = folder / files.run_path(example, setup)
    names = [files.track_name(example, setup, track) for track in result_tracks(example)]
    needed = [folder / of(name) for name in names for of in (files.audio_path, files.picture_path)]
    if not all(file.is_file() for file in (path, *needed)):
        return False
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    kept_key = {**kept[KEY], "settings": effective_settings(kept[KEY]["settings"])}
    return kept_key == result_key(example, setup)


def make_result(example: Example, setup: Setup, folder: Path) -> dict[str, Any]:
    """Run the example's command and write its tracks, spectrograms and, last, its settings and figures.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    output = ROOT / example.output(setup)
    if output.parent.is_dir():
        # Files of an earlier run: nothing else writes into out/gallery/EXAMPLE/SETUP.
        shutil.rmtree(output if example.command == "separate" else output.parent, ignore_errors=True)
    begin = time.monotonic()
    subprocess.run([sys.executable, "-m", "tagbox", *example.arguments(setup)], cwd=ROOT, check=True)
    seconds = time.monotonic() - begin
    mixture = read_excerpt(example, "mixture")
    if example.command == "transfer":
        paths = {"result": output}
        manifest = json.loads(output.with_suffix(".run.json").read_text(encoding="utf-8"))
    else:
        place = output / "mixture"
        paths = {"source": place / f"{example.tag}.wav", "residual": place / "residual.wav"}
        manifest = json.loads((place / "run.json").read_text(encoding="utf-8"))
    tracks = {name: audio.read(path).samples for name, path in paths.items()}
    # One gain for all tracks of a run, so that their loudness can be compared.
    gain = 1 / max(1.0, *(float(track.abs().max()) for track in tracks.values()))
    names = {track: files.track_name(example, setup, track) for track in tracks}
    for track, samples in tracks.items():
        files.write_audio(samples, mixture.rate, folder / files.audio_path(names[track]), gain)
    pictures = {folder / files.picture_path(names[track]): samples for track, samples in tracks.items()}
    files.draw_spectrograms(pictures, mixture.rate, mixture.samples)
    # Readers have no use for the version of the kernel.
    manifest["versions"].pop("platform", None)
    kept = {
        KEY: result_key(example, setup),
        "seconds": round(seconds, 1),
        "gain": round(gain, 4),
        "figures": measure(example, {"mixture": mixture.samples, **tracks}),
        "manifest": manifest,
    }
    if kept[KEY]["settings"] != effective_settings(manifest["settings"]):
        raise RuntimeError(f"{example.name}/{setup.name}: the command did not run with the setup's settings")
    with write_atomically(folder / files.run_path(example, setup), force=True) as temporary:
        temporary.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return kept


def measure(example: Example, tracks: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Measure a run's tracks (channels, samples) against the reference stem.

    Without one, measure how much of the recording is left in the result.
    """
    if example.stem is None:
        return {"kept": round(si_sdr(tracks["result"], tracks["mixture"]), 3)}
    reference = read_excerpt(example, example.stem).samples
    figures: dict[str, Any] = measures.ratios(tracks, reference)
    if example.flutter:
        figures["flutter"] = {
            "truth": measures.flutter(reference, reference),
            "source": measures.flutter(tracks["source"], reference),
        }
    return figures


def write_recording_tracks(example: Example, folder: Path) -> None:
    """Write the recording's mixture and reference stem, with spectrograms, unless they exist."""
    mixture = read_excerpt(example, "mixture")
    for track in recording_tracks(example):
        name = files.track_name(example, None, track)
        player, picture = folder / files.audio_path(name), folder / files.picture_path(name)
        if player.is_file() and picture.is_file():
            continue
        excerpt = read_excerpt(example, track)
        files.write_audio(excerpt.samples, excerpt.rate, player)
        files.draw_spectrograms({picture: excerpt.samples}, excerpt.rate, mixture.samples)


def read_result(example: Example, setup: Setup, folder: Path) -> dict[str, Any] | None:
    """Return the kept settings and figures of a run; None if it was not made yet."""
    path = folder / files.run_path(example, setup)
    if not path.is_file():
        return None
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return kept
