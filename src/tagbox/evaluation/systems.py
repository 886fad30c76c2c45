"""Separation systems: anything that estimates the sources that it is asked for in a mixture."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from tagbox.api import separate
from tagbox.audio.resampling import pad_or_trim, resample
from tagbox.errors import TagBoxError
from tagbox.kernels import devices
from tagbox.methods.registry import find_method
from tagbox.models import load_generator, load_tagger
from tagbox.settings import Settings
from tagbox.taggers.names import TaggerName
from tagbox.tags.query import target_tags
from tagbox.weights import store

MIN_GAIN_CORRECTION = 1e-3
"""A gain that is nearer to 1 than this is rounding, and is left as it is."""

SystemKind = Literal["control", "ceiling", "baseline", "estimates", "preset"]
"""What a system is, in the order in which tables list them."""


@dataclass(frozen=True, eq=False)
class SystemInput:
    """An excerpt of a track, and the sources that are asked for in it.

    Attributes:
        track: name of the track.
        split: of the data set, or "".
        mixture: (channels, samples) at `rate`.
        rate: sample rate, Hz.
        references: the true source by query, (channels, samples); only the ceiling may use them.
        start: of the excerpt in the track, s.
        seed: of everything random.
        notes: what was wrong with the files, a line each.
    """

    track: str
    split: str
    mixture: Tensor
    rate: int
    references: Mapping[str, Tensor]
    start: float
    seed: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class SystemOutput:
    """A system's estimates.

    Attributes:
        estimates: by query, (channels, samples) at the sample rate of the mixture.
        missing: by query, why there is no estimate.
        details: by query, entries for results.jsonl. Reports plot `loss_first` and `loss_last`.
    """

    estimates: Mapping[str, Tensor]
    missing: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class System(Protocol):
    """Something that can be evaluated. Systems are sent to other processes, so they have to be plain data."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> SystemKind: ...

    def describe(self) -> dict[str, Any]:
        """Return everything that decides the estimates, for run.json."""
        ...

    def separate(self, excerpt: SystemInput) -> SystemOutput:
        """Estimate each source that `excerpt` has a reference of.

        Raises:
            TagBoxError: there is no estimate for any of them.
        """
        ...


@dataclass(frozen=True)
class TagBoxSystem:
    """`tagbox.separate` with a preset and changes to it."""

    name: str
    preset: str
    settings: Settings
    device: str = "auto"
    kind: SystemKind = "preset"

    def describe(self) -> dict[str, Any]:
        """Return the preset and all settings."""
        return {"preset": self.preset, "settings": dataclasses.asdict(self.settings)}

    def separate(self, excerpt: SystemInput) -> SystemOutput:
        """Separate all sources that every tagger of the preset has a word for.

        Raises:
            TagBoxError: the mixture cannot be separated.
            KeyboardInterrupt: the user interrupted the steering loop; a partial result is not evaluated.
        """
        reasons = {query: _why_unknown(query, self.settings) for query in excerpt.references}
        missing = {query: reason for query, reason in reasons.items() if reason is not None}
        queries = [query for query in excerpt.references if query not in missing]
        if not queries:
            return SystemOutput({}, missing)
        result = separate(
            excerpt.mixture,
            excerpt.rate,
            queries,
            preset=self.preset,
            device=self.device,
            **vars(self.settings),
        )
        runs = result.manifest["runs"]
        if any(run["stopped"] == "interrupted" for run in runs):
            raise KeyboardInterrupt
        total = torch.stack([*result.sources.values(), result.residual]).sum(dim=0)
        gain = _gain_to_mixture(_match_mixture(total, result.rate, excerpt), excerpt.mixture)
        estimates = {
            query: gain * _match_mixture(estimate, result.rate, excerpt)
            for query, estimate in result.sources.items()
        }
        details = {query: _describe_run(run) for run in runs for query in run["sources"]}
        return SystemOutput(estimates, missing, details)


def check_models(systems: Sequence[System], device: str) -> None:
    """Load the models of all presets among `systems`, so that an evaluation fails before it begins.

    Raises:
        TagBoxError: a model is missing; the message names the preset and what to do.
    """
    for system in systems:
        if isinstance(system, TagBoxSystem):
            try:
                _load_models(system.settings, device)
            except TagBoxError as error:
                raise TagBoxError(f"{system.name}: {error}") from error


def _load_models(settings: Settings, device: str) -> None:
    selected = devices.select_device(device)
    for tagger in settings.taggers:
        name = TaggerName.parse(tagger)
        load_tagger(name.architecture, name.data)
    if find_method(settings.steer).needs_generator:
        load_generator(settings.generator, selected)


def _why_unknown(query: str, settings: Settings) -> str | None:
    """Return why the taggers of `settings` cannot be asked for `query`; None where they can."""
    for tagger in settings.taggers:
        try:
            target_tags(query, store.vocabulary_of(tagger), settings.vocabulary)
        except TagBoxError:
            return f"{tagger} has no word for it"
    return None


def _describe_run(run: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "loss_first": _finite_or_none(run["loss_first"]),
        "loss_last": _finite_or_none(run["loss_chosen"]),
        "steps": run["steps"],
        "stopped": run["stopped"],
    }


def _finite_or_none(value: float) -> float | None:
    """Return `value`, or None where it is not finite: JSON has no infinity."""
    return value if math.isfinite(value) else None


def _match_mixture(estimate: Tensor, rate: int, excerpt: SystemInput) -> Tensor:
    """Bring `estimate` (channels, samples) at `rate` Hz to the sample rate and shape of the mixture."""
    estimate = pad_or_trim(resample(estimate, rate, excerpt.rate), excerpt.mixture.shape[-1])
    return estimate.expand_as(excerpt.mixture) if estimate.shape[0] == 1 else estimate


def _gain_to_mixture(total: Tensor, mixture: Tensor) -> float:
    """Compute the gain that brings the sum of all estimates, `total`, to the level of the mixture.

    It differs from 1 only where a preset normalises the recording to a peak of 1. Such a gain is known, and
    undone: SDR would measure it rather than the separation.
    """
    power = float(total.double().square().sum())
    if power == 0:
        return 1.0
    gain = float((total.double() * mixture.double()).sum()) / power
    return 1.0 if abs(gain - 1) < MIN_GAIN_CORRECTION or gain <= 0 else gain
