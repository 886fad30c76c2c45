"""Results of the gallery: made by the commands that the page prints, and kept until they would differ."""

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
from tagbox.weights import store

KEY = "key"


def excerpt(example: Example, track: str) -> audio.Audio:
    """What the example takes of its recording's mixture or of a stem."""
    return audio.read(example.file(track), example.start, SECONDS)


IDLE = {
    "latents": ("components", "factorisations", "begin"),
    "gates": ("generator", "level", "quantiser"),
}
"""Settings that decide nothing, by what is steered: a new default of theirs makes no result old."""


def deciding(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide a result, as JSON has them."""
    told: dict[str, Any] = json.loads(json.dumps(settings))
    return {name: value for name, value in told.items() if name not in IDLE[told["steer"]]}


def key(example: Example, setup: Setup) -> dict[str, Any]:
    """Everything that decides a result: where this is the same, so is the result."""
    settings = setup.settings
    models: list[tuple[str, str, str | None]] = [
        ("tagger", name.partition("/")[2], name.partition("/")[0]) for name in settings.taggers
    ]
    if settings.steer == "latents":
        models.append(("generator", settings.generator, None))
    weights = {
        f"{data}/{name}" if data else name: audio.fingerprint(store.locate(kind, name, data))
        for kind, name, data in models
    }
    # Through JSON, as it will be compared: tuples are lists there.
    found: dict[str, Any] = json.loads(
        json.dumps(
            {
                "command": example.shell(setup),
                "settings": deciding(dataclasses.asdict(settings)),
                "weights": weights,
                "input": audio.fingerprint(example.file("mixture")),
            }
        )
    )
    return found


def tracks_of(example: Example) -> tuple[str, str] | tuple[str]:
    """What a run gives to hear."""
    return ("result",) if example.command == "transfer" else ("source", "residual")


def own_tracks(example: Example) -> tuple[str, ...]:
    """What the recording itself gives to hear."""
    return ("mixture",) if example.stem is None else ("mixture", example.stem)


def is_done(example: Example, setup: Setup, folder: Path) -> bool:
    """Whether the result that is there is this run's, and nothing of it is missing."""
    path = folder / files.run_of(example, setup)
    names = [files.stem(example, setup, track) for track in tracks_of(example)]
    needed = [folder / of(name) for name in names for of in (files.audio_of, files.picture_of)]
    if not all(file.is_file() for file in (path, *needed)):
        return False
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    before = {**kept[KEY], "settings": deciding(kept[KEY]["settings"])}
    return before == key(example, setup)


def make(example: Example, setup: Setup, folder: Path) -> dict[str, Any]:
    """Run the example's command in the repository and keep what came of it; what is kept is written last."""
    target = ROOT / example.target(setup)
    if target.parent.is_dir():
        # Left by an earlier run; nothing else writes into out/gallery/EXAMPLE/SETUP.
        shutil.rmtree(target if example.command == "separate" else target.parent, ignore_errors=True)
    begin = time.monotonic()
    subprocess.run([sys.executable, "-m", "tagbox", *example.arguments(setup)], cwd=ROOT, check=True)
    seconds = time.monotonic() - begin
    mixture = excerpt(example, "mixture")
    if example.command == "transfer":
        written = {"result": target}
        manifest = json.loads(target.with_suffix(".run.json").read_text(encoding="utf-8"))
    else:
        place = target / "mixture"
        written = {"source": place / f"{example.tag}.wav", "residual": place / "residual.wav"}
        manifest = json.loads((place / "run.json").read_text(encoding="utf-8"))
    tracks = {name: audio.read(path).samples for name, path in written.items()}
    # One gain for all of a run, so that its players can be compared with each other.
    gain = 1 / max(1.0, *(float(track.abs().max()) for track in tracks.values()))
    for name, track in tracks.items():
        path = folder / files.audio_of(files.stem(example, setup, name))
        files.write_audio(track, mixture.rate, path, gain)
    pictures = {
        folder / files.picture_of(files.stem(example, setup, name)): track for name, track in tracks.items()
    }
    files.draw(pictures, mixture.rate, mixture.samples)
    # Which kernel it ran on is of no use to readers.
    manifest["versions"].pop("platform", None)
    kept = {
        KEY: key(example, setup),
        "seconds": round(seconds, 1),
        "gain": round(gain, 4),
        "figures": figures(example, {"mixture": mixture.samples, **tracks}),
        "manifest": manifest,
    }
    if kept[KEY]["settings"] != deciding(manifest["settings"]):
        raise RuntimeError(f"{example.name}/{setup.name}: the command did not run with the settings it names")
    with write_atomically(folder / files.run_of(example, setup), force=True) as beside:
        beside.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return kept


def figures(example: Example, tracks: dict[str, torch.Tensor]) -> dict[str, Any]:
    """What is measured of a run's tracks; where no true stem is known, how much of the recording is kept."""
    if example.stem is None:
        return {"kept": round(si_sdr(tracks["result"], tracks["mixture"]), 3)}
    truth = excerpt(example, example.stem).samples
    found: dict[str, Any] = measures.ratios(tracks, truth)
    if example.flutter:
        found["flutter"] = {
            "truth": measures.flutter(truth, truth),
            "source": measures.flutter(tracks["source"], truth),
        }
    return found


def make_own(example: Example, folder: Path) -> None:
    """The recording's mixture and true stem, to hear and see, where they are not there yet."""
    mixture = excerpt(example, "mixture")
    for track in own_tracks(example):
        name = files.stem(example, None, track)
        heard, seen = folder / files.audio_of(name), folder / files.picture_of(name)
        if heard.is_file() and seen.is_file():
            continue
        own = excerpt(example, track)
        files.write_audio(own.samples, own.rate, heard)
        files.draw({seen: own.samples}, own.rate, mixture.samples)


def read(example: Example, setup: Setup, folder: Path) -> dict[str, Any] | None:
    """What is kept of a run, if anything."""
    path = folder / files.run_of(example, setup)
    if not path.is_file():
        return None
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return kept
