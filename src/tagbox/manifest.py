"""Describe a run in run.json: what is needed to repeat it, and under which licences its models are."""

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
from tagbox.methods.registry import METHODS
from tagbox.methods.steering import Run
from tagbox.methods.task import Task
from tagbox.plugins.descriptions import Model
from tagbox.plugins.discovery import Origin
from tagbox.settings import PUBLISHED_FAULTS
from tagbox.taggers.tagger import Tagger
from tagbox.tags.vocabularies import is_open
from tagbox.weights import catalogue, hub, store

TOP_TAGS = 5


def versions() -> dict[str, str]:
    """Return the versions of the software on which results depend."""
    return {
        "tagbox": tagbox.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def audio_hash(audio: Tensor) -> str:
    """Compute the SHA-256 of the samples as little-endian float32."""
    return hashlib.sha256(audio.detach().cpu().contiguous().numpy().astype("<f4").tobytes()).hexdigest()


def describe(
    task: Task,
    preset: str,
    source: Mapping[str, Any],
    runs: Sequence[Run],
    probabilities: Mapping[str, Sequence[Tensor]],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Describe a run as a manifest that can be written as JSON.

    Args:
        task: the sources, settings and models.
        preset: on which the settings are based.
        source: what is known of the recording.
        runs: of the steering loop.
        probabilities: by signal ("mixture", each source, "residual"), for each tagger (tags,).
        seconds: by the part of the computation that took them.
    """
    queries, target_tags = task.queries, task.target_tags
    taggers, generator = task.taggers, task.generator
    manifest: dict[str, Any] = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "device": str(task.device),
        "preset": preset,
        "settings": dataclasses.asdict(task.settings),
        "tags": {
            query: {
                tagger.identifier: list(tags)
                for tagger, tags in zip(taggers, target_tags[query], strict=True)
                if tags
            }
            for query in queries
        },
        "input": dict(source),
        "taggers": [_describe_tagger(tagger) for tagger in taggers],
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
                tagger.identifier: _most_probable(tagger, own, [target_tags[query][i] for query in queries])
                for i, (tagger, own) in enumerate(zip(taggers, by_tagger, strict=True))
            }
            for signal, by_tagger in probabilities.items()
        },
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }
    if task.share_network is not None:
        manifest["share_network"] = {
            "name": task.share_network.identifier,
            "weights": task.share_network.weights_hash,
        }
    if generator is not None:
        manifest["generator"] = {
            "name": generator.name,
            "weights": generator.weights_hash,
            "licence": generator.licence,
        }
        known = {model.name: model for model in catalogue.generators()}
        name = task.settings.generator
        if name in known or hub.is_address(name):
            manifest["generator"] |= _describe_source(store.describe("generator", name))
    origin = METHODS.origin(task.settings.steer)
    if not origin.is_own:
        manifest["method"] = {"name": task.settings.steer, **_describe_origin(origin)}
    if preset == "published-code":
        manifest["faults_kept"] = list(PUBLISHED_FAULTS)
    return manifest


def _describe_tagger(tagger: Tagger) -> dict[str, Any]:
    described: dict[str, Any] = {"name": tagger.identifier, "weights": tagger.weights_hash}
    if hub.is_address(tagger.name):
        described["data"] = tagger.data
    if is_open(tagger.data):
        described["words"] = list(tagger.tags)
    return described | _describe_source(store.describe("tagger", tagger.name, tagger.data))


def _describe_source(model: Model) -> dict[str, Any]:
    """Describe where a model comes from, other than from TagBox itself, and the licence that was accepted."""
    described: dict[str, Any] = {}
    origin = catalogue.origin(model)
    if origin is not None and not origin.is_own:
        described |= _describe_origin(origin)
    if store.is_on_hub(model):
        described |= {"source": hub.pinned(str(model.source)), "licence": model.licence}
    if model.terms:
        described["licence_accepted"] = store.licence_acceptance(model)
    return described


def _describe_origin(origin: Origin) -> dict[str, str]:
    return {"distribution": origin.distribution, "version": origin.version}


def _most_probable(
    tagger: Tagger, probabilities: Tensor, target_tags: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return the probabilities of the target tags, then of the most probable other tags."""
    targets = [tag for tags in target_tags for tag in tags]
    top = [tagger.tags[int(i)] for i in probabilities.argsort(descending=True)[:TOP_TAGS]]
    named = dict.fromkeys([*targets, *top])
    return {tag: round(float(probabilities[tagger.tags.index(tag)]), 4) for tag in named}
