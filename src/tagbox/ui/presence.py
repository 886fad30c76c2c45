"""When a track sounds, from run.json, as the mixer draws it."""

from collections.abc import Mapping
from typing import Any

Presence = tuple[tuple[float, float, float], ...]
"""Spans as start and stop in seconds, with the track's part of the energy, from 0 to 1."""


def presence_of(manifest: Mapping[str, Any], track: str) -> Presence:
    """Return a track's part of the energy, span by span; nothing where run.json does not say."""
    presence = manifest.get("presence", {"seconds": 1.0, "parts": {}})
    seconds = presence["seconds"]
    return tuple(
        (i * seconds, (i + 1) * seconds, part) for i, part in enumerate(presence["parts"].get(track, ()))
    )
