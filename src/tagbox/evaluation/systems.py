"""What is compared: anything that answers a task with estimates."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from tagbox import models
from tagbox.audio.resampling import resample
from tagbox.errors import TagBoxError
from tagbox.presets import Settings
from tagbox.tags.published import published_names
from tagbox.tags.query import UNION
from tagbox.tags.resolve import meaning

Kind = Literal["control", "ceiling", "baseline", "estimates", "preset"]


@dataclass(frozen=True, eq=False)
class Task:
    """An excerpt of a track and the words that are asked for in it.

    Attributes:
        mixture: (channels, samples) at `rate`.
        references: by word, (channels, samples); only the ceiling may look at them.
        start: of the excerpt in the track (s).
        seed: of everything random.
    """

    track: str
    split: str
    mixture: Tensor
    rate: int
    references: Mapping[str, Tensor]
    start: float
    seed: int


@dataclass(frozen=True, eq=False)
class Answer:
    """Estimates by word, (channels, samples) at the task's rate, and notes by word of how they were made.

    A word without an estimate has a line in `missing` that says why. The notes `loss_first` and `loss_last`
    are plotted; all of them stand in results.jsonl.
    """

    estimates: Mapping[str, Tensor]
    missing: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Method(Protocol):
    """Something that can be judged. Methods travel to other processes, so they are plain data."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...

    def describe(self) -> dict[str, Any]:
        """All that decides its answers, for the run's manifest."""
        ...

    def answer(self, task: Task) -> Answer:
        """Its estimates.

        Raises:
            TagBoxError: it has none for this task.
        """
        ...


@dataclass(frozen=True)
class Separator:
    """`tagbox.separate` with a preset and changes to it."""

    name: str
    preset: str
    settings: Settings
    device: str = "auto"
    kind: Kind = "preset"

    def describe(self) -> dict[str, Any]:
        return {"preset": self.preset, "settings": dataclasses.asdict(self.settings)}

    def answer(self, task: Task) -> Answer:
        from tagbox.api import separate

        missing = {word: why for word in task.references if (why := _cannot_ask(word, self.settings))}
        words = [word for word in task.references if word not in missing]
        if not words:
            return Answer({}, missing)
        result = separate(
            task.mixture,
            task.rate,
            words,
            preset=self.preset,
            device=self.device,
            **vars(self.settings),
        )
        runs = result.manifest["runs"]
        if any(run["stopped"] == "interrupted" for run in runs):
            raise KeyboardInterrupt
        whole = torch.stack([*result.sources.values(), result.residual]).sum(dim=0)
        gain = _gain(_alike(whole, result.rate, task), task.mixture)
        details = {
            word: {
                "loss_first": _finite(run["loss_first"]),
                "loss_last": _finite(run["loss_chosen"]),
                "steps": run["steps"],
                "stopped": run["stopped"],
            }
            for run in runs
            for word in run["sources"]
        }
        return Answer(
            {word: gain * _alike(track, result.rate, task) for word, track in result.sources.items()},
            missing,
            details,
        )


def _finite(value: float) -> float | None:
    """JSON has no infinities."""
    return value if math.isfinite(value) else None


def _cannot_ask(word: str, settings: Settings) -> str | None:
    """Why the taggers of `settings` cannot be asked for `word`; None where they can."""
    for name in settings.taggers:
        data = name.partition("/")[0]
        try:
            parts = word.split(UNION)
            if settings.vocabulary == "published":
                published_names(parts, data)
            else:
                for part in parts:
                    meaning(part, data)
        except TagBoxError:
            return f"{name} has no word for it"
    return None


def _alike(track: Tensor, rate: int, task: Task) -> Tensor:
    """`track` at the rate, length and channels of the task's mixture."""
    track = fit(resample(track, rate, task.rate), task.mixture.shape[-1])
    return track.expand_as(task.mixture) if track.shape[0] == 1 else track


def fit(track: Tensor, samples: int) -> Tensor:
    """`track` (..., samples) cut or filled with silence to `samples`."""
    return functional.pad(track, (0, max(0, samples - track.shape[-1])))[..., :samples]


def _gain(whole: Tensor, mixture: Tensor) -> float:
    """What brings all estimates together to the mixture's loudness.

    1 but for presets that first bring the recording to a peak of 1: a known gain that is undone, or SDR would
    judge it rather than the separation.
    """
    power = float(whole.double().square().sum())
    if power == 0:
        return 1.0
    gain = float((whole.double() * mixture.double()).sum()) / power
    return 1.0 if abs(gain - 1) < 1e-3 or gain <= 0 else gain


def check(methods: "list[Method]", device: str) -> None:
    """Load what the presets among `methods` need, so that a run fails before it begins.

    Raises:
        TagBoxError: a model is missing; names the preset and what to do.
    """
    for method in methods:
        if isinstance(method, Separator):
            try:
                load_models(method.settings, device)
            except TagBoxError as error:
                raise TagBoxError(f"{method.name}: {error}") from error


def load_models(settings: Settings, device: str) -> None:
    """Load taggers and generator once, to see that they are there.

    Raises:
        TagBoxError: one is not.
    """
    from tagbox.kernels import devices
    from tagbox.methods import registry as kinds

    where = devices.select_device(device)
    for name in settings.taggers:
        data, _, architecture = name.partition("/")
        models.load_tagger(architecture, data)
    if kinds.find_method(settings.steer).needs_generator:
        models.load_generator(settings.generator, where)
