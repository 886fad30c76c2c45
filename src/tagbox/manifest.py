"""What made a result: enough to make it again, and to know under which licences."""

import dataclasses
import hashlib
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

import tagbox
from tagbox.generator.generator import Generator
from tagbox.presets import PUBLISHED_FAULTS, Settings
from tagbox.results import Run
from tagbox.taggers.tagger import Tagger
from tagbox.weights import catalogue, store

LOUDEST_TAGS = 5


def versions() -> dict[str, str]:
    """Of everything that numbers depend on."""
    return {
        "tagbox": tagbox.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def audio_hash(audio: Tensor) -> str:
    """SHA-256 of the samples as little-endian float32."""
    return hashlib.sha256(audio.detach().cpu().contiguous().numpy().astype("<f4").tobytes()).hexdigest()


def describe(
    *,
    preset: str,
    settings: Settings,
    words: Sequence[str],
    wanted: Mapping[str, Sequence[Sequence[str]]],
    taggers: Sequence[Tagger],
    generator: Generator | None,
    device: torch.device,
    source: Mapping[str, Any],
    runs: Sequence[Run],
    heard: Mapping[str, Sequence[Tensor]],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """The manifest of a run, ready for JSON.

    Args:
        words: the tags as they were asked for, one a source.
        wanted: for each word, for each tagger, the tags of its vocabulary that it means.
        source: what is known of the recording.
        heard: by signal ("mixture", each source, "residual"), for each tagger, its probabilities (tags,).
        seconds: by what they were spent on.
    """
    manifest: dict[str, Any] = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "device": str(device),
        "preset": preset,
        "settings": dataclasses.asdict(settings),
        "tags": {
            word: {f"{t.data}/{t.name}": list(tags) for t, tags in zip(taggers, wanted[word], strict=True)}
            for word in words
        },
        "input": dict(source),
        "taggers": [{"name": f"{t.data}/{t.name}", "weights": t.weights_hash} for t in taggers],
        "runs": [
            {
                "sources": list(run.sources),
                "at": round(run.at, 3),
                "steps": len(run.history.steps),
                "stopped": run.history.stopped,
                "chosen_step": run.history.chosen,
                "loss_first": run.history.losses[0],
                "loss_last": run.history.losses[-1],
                "loss_chosen": run.history.losses[run.history.chosen],
            }
            for run in runs
        ],
        "probabilities": {
            signal: {
                f"{t.data}/{t.name}": _spoken(t, p, [wanted[w][i] for w in words])
                for i, (t, p) in enumerate(zip(taggers, answers, strict=True))
            }
            for signal, answers in heard.items()
        },
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }
    if generator is not None:
        manifest["generator"] = {
            "name": generator.name,
            "weights": generator.weights_hash,
            "licence": generator.licence,
        }
        if generator.name == "jukebox":
            accepted = store.acceptance(catalogue.find("generator", "jukebox", None))
            manifest["generator"]["licence_accepted"] = accepted
    if preset == "published-code":
        manifest["faults_kept"] = list(PUBLISHED_FAULTS)
    return manifest


def _spoken(tagger: Tagger, probabilities: Tensor, wanted: Sequence[Sequence[str]]) -> dict[str, float]:
    """The wanted tags' probabilities, then the loudest of the others."""
    order = [tag for tags in wanted for tag in tags]
    loudest = [tagger.tags[int(i)] for i in probabilities.argsort(descending=True)[:LOUDEST_TAGS]]
    named = dict.fromkeys([*order, *loudest])
    return {tag: round(float(probabilities[tagger.tags.index(tag)]), 4) for tag in named}
