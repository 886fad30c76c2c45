"""Presets: named settings. Presets are data: every value can be overridden."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from tagbox.errors import TagBoxError
from tagbox.registry import look_up
from tagbox.settings import (
    CHOICES,
    MAX_FFT_SIZE,
    MAX_LEARNING_RATE,
    MIN_FFT_SIZE,
    MIN_OVERLAP_SECONDS,
    MIN_SEGMENT_SECONDS,
    PUBLISHED_FAULTS,
    Settings,
)
from tagbox.taggers.names import TaggerName
from tagbox.tags.query import as_queries
from tagbox.tags.vocabularies import predicts_shares

__all__ = ["CHOICES", "PRESETS", "PUBLISHED_FAULTS", "Preset", "Settings", "find", "override", "validate"]


@dataclass(frozen=True)
class Preset:
    """A named set of settings, with a line for people."""

    name: str
    help: str
    settings: Settings


_PAPER = Settings(
    steer="latents",
    taggers=("mtat/fcn", "mtat/hcnn", "mtat/musicnn"),
    objective="cross-entropy-ascent",
    output="residual",
    steps=100,
    lr=10.0,
    keep="last",
    padding="repeat",
    fft=(512, 1024, 2048),
    combine="mean",
    begin="even",
    generator="jukebox",
    quantiser="straight-through",
    segment=20.0,  # as long as the published demonstrations
)

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "default",
            "a network and components together give each moment and band to a source; faster than the music",
            Settings(),
        ),
        Preset(
            "best",
            "the default with 8 factorisations instead of 2: three times the run time",
            Settings(factorisations=8),
        ),
        Preset("fast", "the network alone, in one pass: a quarter of the run time", Settings(steer="shares")),
        Preset(
            "components",
            "components alone: each goes, at all times alike, to the sources that the listener predicts",
            Settings(steer="gates", factorisations=8),
        ),
        Preset(
            "steered",
            "components steered until a published tagger detects the tag; for tags that the default lacks",
            Settings(
                steer="gates",
                taggers=("mtat/pons-musicnn",),
                steps=25,
                factorisations=1,
                begin="even",
                # Rounding to bfloat16 turns first steps around: up to 4.5 dB, and another result elsewhere.
                precision="float32",
            ),
        ),
        Preset(
            "paper",
            "Algorithm 1 as printed: steered away from the tags, the residual is the source; needs Jukebox",
            _PAPER,
        ),
        Preset(
            "published-code",
            "what the published code does, faults included; needs Jukebox",
            dataclasses.replace(
                _PAPER,
                objective="cross-entropy",
                padding="zeros",
                combine="last",
                quantiser="published",
                mixture="reconstruction",
                normalise=True,
                precision="float32",
                vocabulary="published",
            ),
        ),
        Preset(
            "transfer",
            "the generator re-synthesises the recording, steered towards the tags; nothing to download",
            Settings(
                steer="latents",
                taggers=("mtat/pons-musicnn",),
                objective="target-logits",
                steps=60,
                lr=0.3,
                keep="last",
                begin="even",
            ),
        ),
    )
}


def find(name: str) -> Preset:
    """Return the preset called `name`.

    Raises:
        UnknownModelError: there is none.
    """
    return look_up(PRESETS, name, "preset")


def override(settings: Settings, **changes: Any) -> Settings:
    """Return `settings` with every change that is not None, checked.

    Raises:
        TagBoxError: a value makes no sense.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    if "without" in given:
        given["without"] = as_queries(given["without"])
    result = dataclasses.replace(settings, **given)
    validate(result)
    return result


def validate(settings: Settings) -> None:
    """Check every value, so that a run fails before it begins rather than after minutes.

    Raises:
        TagBoxError: which value is wrong, and what it may be.
    """
    from tagbox.methods import objectives, registry

    objectives.find_objective(settings.objective)
    registry.find_method(settings.steer)
    for name, choices in CHOICES.items():
        value = getattr(settings, name)
        if value not in choices:
            raise TagBoxError(f"{name} cannot be {value!r}; choose one of {', '.join(choices)}")
    for name, least in (
        ("steps", 1),
        ("patience", 0),
        ("components", 1),
        ("factorisations", 1),
        ("level", 0),
    ):
        if getattr(settings, name) < least:
            raise TagBoxError(f"{name} is {getattr(settings, name)}; give {least} or more")
    if not 0 < settings.lr <= MAX_LEARNING_RATE:
        raise TagBoxError(
            f"the rate (lr) is {settings.lr:g}; give a number above 0, up to {MAX_LEARNING_RATE:g}"
        )
    if not (settings.segment == 0 or MIN_SEGMENT_SECONDS <= settings.segment < float("inf")):
        raise TagBoxError(
            f"a segment of {settings.segment:g} s cannot be used; give {MIN_SEGMENT_SECONDS:g} s or more, "
            "or 0 to separate every recording as one segment"
        )
    if settings.segment and not MIN_OVERLAP_SECONDS <= settings.overlap <= settings.segment / 4:
        raise TagBoxError(
            f"segments of {settings.segment:g} s cannot overlap by {settings.overlap:g} s; give "
            f"{MIN_OVERLAP_SECONDS:g} to {settings.segment / 4:g} s"
        )
    if not settings.taggers:
        raise TagBoxError("no tagger is to listen; name one, for example mtat/pons-musicnn")
    if len(set(settings.taggers)) != len(settings.taggers):
        raise TagBoxError(f"the taggers {', '.join(settings.taggers)} are not all different; name each once")
    shareless = [name for name in settings.taggers if not _may_predict_shares(name)]
    infers = settings.steer in ("gates", "shares+gates") and settings.begin == "heard"
    if infers and len(shareless) == len(settings.taggers):
        raise TagBoxError(
            f"gates can begin as heard only where a tagger predicts shares, and {shareless[0]} does not; "
            "add rendered/listener to the taggers, or take the preset steered"
        )
    for size in settings.fft:
        if not MIN_FFT_SIZE <= size <= MAX_FFT_SIZE or size % 2:
            raise TagBoxError(
                f"an FFT size of {size} cannot be used; give even numbers from "
                f"{MIN_FFT_SIZE} to {MAX_FFT_SIZE}"
            )
    if not settings.fft or len(set(settings.fft)) != len(settings.fft):
        raise TagBoxError("give each FFT size once, for example --fft 512 --fft 1024 --fft 2048")


def _may_predict_shares(tagger: str) -> bool:
    """Return whether a tagger predicts shares, by its name; of one at an address this is not known yet."""
    data = TaggerName.parse(tagger).data
    return not data or predicts_shares(data)
