"""Ways to separate one segment, behind one protocol; those by the share network are in `shares`.

- `TaggedComponents`: infer the gates of components. No optimiser, no backward pass.
- `SteeredGates`: steer the gates of components by gradient.
- `SteeredLatents`, the paper's: steer a generator's latents, whose audio masks the mixture.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from tagbox.audio.downmix import downmix
from tagbox.audio.stft import istft, stft
from tagbox.generators.quantisers import make_quantiser
from tagbox.methods.analysis import (
    UNADJUSTED,
    Adjustments,
    Analysis,
    Masks,
    adjusted,
    tilted,
    with_residual,
)
from tagbox.methods.components import Components, decompose, mean_gate_mask, separate_with_dictionary
from tagbox.methods.gate_inference import (
    class_shares,
    exclusive_tags,
    gates_of,
    hear_components,
    infer_gates,
    share_taggers,
)
from tagbox.methods.gates import Gates
from tagbox.methods.latents import LatentMask
from tagbox.methods.objectives import find_objective
from tagbox.methods.steerable import Steerable
from tagbox.methods.steering import (
    History,
    OnStep,
    Run,
    Step,
    evaluate_loss,
    first_loss_not_finite,
    steer,
)
from tagbox.methods.task import COMPONENT_RATE, Task
from tagbox.settings import Settings

Separated = tuple[Tensor, tuple[Run, ...]]
"""Estimates (sources, channels, samples) and the runs of the loop that they took."""


class RecordingSurvey(Protocol):
    """What is known of a long recording before its first segment is separated."""

    @property
    def predictions(self) -> Sequence[Tensor]:
        """For each tagger its probabilities for excerpts of the recording, (excerpts, tags)."""
        ...

    @property
    def energies(self) -> Tensor:
        """Of the excerpts, (excerpts,)."""
        ...

    def representative_audio(self, rate: int) -> Tensor:
        """Return the excerpts in which the sources are predicted most, mono, (samples,) at `rate` Hz."""
        ...

    @property
    def representative_seconds(self) -> list[list[float]]:
        """Where those excerpts begin and end, s."""
        ...


class Separator(Protocol):
    """Separates mixtures at the task's working rate."""

    @property
    def batchable(self) -> bool:
        """Whether `separate` takes a batch of mixtures, (batch, channels, samples), as well."""
        ...

    def prepare(self, survey: RecordingSurvey) -> "Preparation":
        """Adapt to a recording that is longer than a segment, once, before its first segment."""
        ...

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Separate `mixture` (channels, samples).

        Args:
            initial_audio: what a generator's latents encode to begin with, (samples,), or (channels, samples)
                for a generator of several channels.

        A batch of mixtures has a batch of initial audio, and estimates (sources x batch, channels, samples),
        source by source.
        """
        ...


@runtime_checkable
class Correctable(Separator, Protocol):
    """A separator whose decisions can be adjusted without factorising or asking a network again."""

    def analyse_and_separate(self, mixture: Tensor) -> tuple[Analysis, Masks, Separated]:
        """Separate `mixture` (channels, samples) as `separate` does; return what decisions rest on, too."""
        ...

    def decide(self, analysis: Analysis, mixture: Tensor) -> tuple[Analysis, Masks, Tensor]:
        """Decide for the first time about a `mixture` (channels, samples) that was analysed.

        Returns:
            the analysis, which holds what was decided, the masks and the estimates.
        """
        ...

    def masks(self, analysis: Analysis, mixture: Tensor, adjustments: Adjustments = UNADJUSTED) -> Masks:
        """Decide anew about a `mixture` (channels, samples)."""
        ...

    def apply(self, masks: Masks, mixture: Tensor) -> Tensor:
        """Apply masks to the `mixture` of which they are: (sources, channels, samples)."""
        ...

    def gates(self, analysis: Analysis, adjustments: Adjustments = UNADJUSTED) -> Tensor:
        """Compute the gates of components, (sources and residual, components)."""
        ...


@dataclass(frozen=True, eq=False)
class Preparation:
    """What came of preparing a separator for a long recording.

    Attributes:
        separator: for its segments.
        runs: of the loop.
        notes: for run.json.
    """

    separator: Separator
    runs: tuple[Run, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


@torch.no_grad()
def unsteered_run(
    task: Task, estimates: Tensor, mixture: Tensor, rate: int, start: float, on_step: OnStep | None
) -> Run:
    """Measure the loss of estimates that nothing steered, and report it as the one step of a run.

    Args:
        task: whose taggers predict.
        estimates: of all sources, mono, (sources, samples).
        mixture: mono, (samples,).
        rate: of both, Hz.
        start: when the separation began, on `time.monotonic`.
        on_step: called with the step.

    Raises:
        TagBoxError: the loss is not finite.
    """
    loss, probabilities = evaluate_loss(
        estimates[:, None],
        mixture,
        rate,
        task.steering_taggers,
        task.targets,
        find_objective(task.settings.objective),
        task.settings.padding,
    )
    if not bool(torch.isfinite(loss)):
        raise first_loss_not_finite()
    step = Step(0, float(loss), tuple(each.cpu() for each in probabilities), time.monotonic() - start)
    asked_to_stop = on_step is not None and bool(on_step(step))
    return Run(task.queries, History((step,), "request" if asked_to_stop else "steps", 0))


@dataclass(frozen=True, eq=False)
class TaggedComponents:
    """Give each component to the sources that taggers predict for it.

    Attributes:
        recording_shares: where segments of a longer recording are separated, for each tagger that predicts
            shares, each class's part of the recording's energy.
    """

    task: Task
    on_step: OnStep | None = None
    recording_shares: tuple[Tensor, ...] | None = None
    batchable: bool = False

    def prepare(self, survey: RecordingSurvey) -> Preparation:
        """Take the class prior from the whole recording."""
        taggers = self.task.taggers
        positions = share_taggers(taggers)
        shares = tuple(class_shares(survey.predictions[i], survey.energies, taggers[i]) for i in positions)
        named = {
            taggers[i].identifier: {
                tag: round(share, 4)
                for tag, share in zip(exclusive_tags(taggers[i]), own.tolist(), strict=True)
            }
            for i, own in zip(positions, shares, strict=True)
        }
        return Preparation(replace(self, recording_shares=shares), notes={"made_of": named})

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Decompose, infer the gates, and mask every channel; the loss is reported, not minimised."""
        return self.analyse_and_separate(mixture)[2]

    @torch.no_grad()
    def analyse_and_separate(self, mixture: Tensor) -> tuple[Analysis, Masks, Separated]:
        """Separate a mixture; keep the factors, and what was predicted for the components."""
        task, start = self.task, time.monotonic()
        components = _decompose(task, downmix(mixture))
        heard = hear_components(
            components.audio, task.steering_taggers, task.settings.padding, components.rate
        )
        analysis = Analysis(
            components.factors, tuple(shares for shares, _ in heard), tuple(energy for _, energy in heard)
        )
        run = unsteered_run(
            task,
            self.gates(analysis)[:-1] @ components.audio,
            components.audio.sum(dim=0),
            components.rate,
            start,
            self.on_step,
        )
        analysis, masks, estimates = self.decide(analysis, mixture)
        return analysis, masks, (estimates, (run,))

    def decide(self, analysis: Analysis, mixture: Tensor) -> tuple[Analysis, Masks, Tensor]:
        """Decide by the factors, and by what was predicted for the components."""
        masks = self.masks(replace(analysis, decided=None), mixture)
        return replace(analysis, decided=masks.values[:-1]), masks, self.apply(masks, mixture)

    def gates(self, analysis: Analysis, adjustments: Adjustments = UNADJUSTED) -> Tensor:
        """Compute the gates (sources and residual, components) of a mixture that was analysed."""
        task = self.task
        heard = tuple(zip(analysis.shares, analysis.energies, strict=True))
        target_tags = [task.target_tags[query] for query in task.queries]
        gates = gates_of(heard, task.steering_taggers, target_tags, self.recording_shares)
        if adjustments.components is not None:
            gates = tilted(gates, adjustments.components)
        for component, source in adjustments.moved.items():
            gates[:, component] = 0
            gates[source, component] = 1
        return gates

    @torch.no_grad()
    def masks(self, analysis: Analysis, mixture: Tensor, adjustments: Adjustments = UNADJUSTED) -> Masks:
        """Decide anew by the factors, and by what was predicted for the components."""
        n_fft = max(self.task.settings.fft)
        values = None
        if adjustments.components is None and not adjustments.moved:
            values = analysis.unadjusted
        if values is None:
            gates = self.gates(analysis, adjustments)
            sources = torch.stack([mean_gate_mask(analysis.factors, gate) for gate in gates[:-1]])
            values = with_residual(sources)
        values = adjusted(values, adjustments, self.task.rate, n_fft // 2)
        return Masks(values, stft(mixture, n_fft), n_fft // 2)

    @torch.no_grad()
    def apply(self, masks: Masks, mixture: Tensor) -> Tensor:
        """Mask every channel."""
        spectra, samples = masks.spectrum, mixture.shape[-1]
        return torch.stack(
            [istft(mask * spectra, 2 * masks.hop_length, samples) for mask in masks.values[:-1]]
        )


@dataclass(frozen=True, eq=False)
class SteeredGates:
    """Steer the gates of components, those of all sources together."""

    task: Task
    on_step: OnStep | None = None
    batchable: bool = False

    def prepare(self, survey: RecordingSurvey) -> Preparation:
        """Learn the dictionary and its gates once for the whole recording, from representative excerpts."""
        excerpts = survey.representative_audio(COMPONENT_RATE).to(self.task.device)
        gates, snapshot, run = self._steer(excerpts)
        separator = LearntGates(
            gates.components.dictionary,
            snapshot,
            gates.components.n_fft,
            self.task.settings.factorisations,
        )
        return Preparation(separator, (run,), {"digest": survey.representative_seconds})

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Decompose, steer the gates on the mono mix, and mask every channel."""
        gates, snapshot, run = self._steer(downmix(mixture))
        return gates.render(snapshot, mixture), (run,)

    def _steer(self, mono: Tensor) -> tuple[Gates, Tensor, Run]:
        task = self.task
        components = _decompose(task, mono)
        initial = _infer_gates(task, components) if task.settings.begin == "heard" else None
        gates = Gates(components, task.sources, initial)
        snapshot, history = steer(gates, task.steering_taggers, task.targets, task.settings, self.on_step)
        return gates, snapshot, Run(task.queries, history)


@dataclass(frozen=True, eq=False)
class LearntGates:
    """Separate the segments of a recording by the dictionary and gates that were learnt for all of it.

    Attributes:
        dictionary: spectral shapes, (bins, components), factorisation after factorisation.
        gates: (sources, components).
        n_fft: of the STFT, samples.
        factorisations: how many the dictionary holds.
    """

    dictionary: Tensor
    gates: Tensor
    n_fft: int
    factorisations: int
    batchable: bool = False

    def prepare(self, survey: RecordingSurvey) -> Preparation:
        """Do nothing: it is prepared already."""
        return Preparation(self)

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Find the dictionary's activations in `mixture`, and mask every channel."""
        estimates = separate_with_dictionary(
            mixture, self.dictionary, self.gates, self.n_fft, self.factorisations
        )
        return estimates, ()


@dataclass(frozen=True, eq=False)
class SteeredLatents:
    """Steer a generator's latents, one source after the other (Algorithm 1)."""

    task: Task
    on_step: OnStep | None = None
    batchable: bool = True

    def prepare(self, survey: RecordingSurvey) -> Preparation:
        """Do nothing: each segment is steered by itself."""
        return Preparation(self)

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Steer latents whose audio masks `mixture`."""
        return steer_each_source(self.task, _make_latent_mask, mixture, initial_audio, self.on_step)


@dataclass(frozen=True, eq=False)
class SilentSources:
    """Leave all of a mixture to the residual."""

    sources: int
    batchable: bool = False

    def prepare(self, survey: RecordingSurvey) -> Preparation:
        """Do nothing."""
        return Preparation(self)

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> Separated:
        """Return silence for every source."""
        return mixture.new_zeros(self.sources, *mixture.shape), ()


MakeSteerable = Callable[[Task, Tensor, Tensor], Steerable]
"""A task, a mono mixture (..., samples) and the initial audio to what is steered for one source."""


def steer_each_source(
    task: Task,
    make_steerable: MakeSteerable,
    mixture: Tensor,
    initial_audio: Tensor,
    on_step: OnStep | None = None,
) -> Separated:
    """Make and steer something for each source, one after the other.

    Args:
        mixture: (channels, samples), or (batch, channels, samples).
        initial_audio: (samples,), or (batch, samples), with a dimension of channels before the last for a
            generator of several channels.
    """
    batch_size = mixture.shape[0] if mixture.dim() == 3 else 1
    runs, rendered = [], []
    for i, query in enumerate(task.queries):
        steerable = make_steerable(task, downmix(mixture), initial_audio)
        targets = [target[i : i + 1].repeat_interleave(batch_size, dim=0) for target in task.targets]
        snapshot, history = steer(
            steerable, task.steering_taggers, targets, task.settings, on_step, batch_size
        )
        runs.append(Run((query,), history))
        rendered.append(steerable.render(snapshot, mixture))
        if history.stopped == "interrupted":
            # Whoever pressed Ctrl-C does not want to wait for the sources that have not begun.
            silent_sources = (task.sources - i - 1) * batch_size
            rendered.append(mixture.new_zeros(silent_sources, *mixture.shape[-2:]))
            break
    return torch.cat(rendered), tuple(runs)


def _decompose(task: Task, mono: Tensor) -> Components:
    settings = task.settings
    return decompose(
        mono,
        task.rate,
        settings.components,
        settings.factorisations,
        max(settings.fft),
        max(tagger.rate for tagger in task.taggers),
        settings.seed,
    )


def _infer_gates(task: Task, components: Components) -> Tensor:
    target_tags = [task.target_tags[query] for query in task.queries]
    return infer_gates(
        components.audio, task.steering_taggers, target_tags, task.settings.padding, components.rate
    )


def _make_latent_mask(task: Task, mono: Tensor, initial_audio: Tensor) -> LatentMask:
    settings, generator = task.settings, task.require_generator()
    quantiser = make_quantiser(settings.quantiser, generator, settings.level, settings.seed)
    return LatentMask(
        generator, mono, settings.level, quantiser, settings.fft, settings.combine, initial_audio
    )


def separate_by_gates(task: Task, on_step: OnStep | None) -> Separator:
    """Make the separator for gates: inferred gates that no further step moves need no gradient."""
    is_inferred = infers_gates(task.settings)
    return TaggedComponents(task, on_step) if is_inferred else SteeredGates(task, on_step)


def infers_gates(settings: Settings) -> bool:
    """Tell whether gates are inferred and not steered; such gates can be corrected."""
    return settings.begin == "heard" and settings.steps == 1
