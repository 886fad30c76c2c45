"""Train a VQ-VAE, one level after the other: levels share nothing, so each is a training of its own."""

import io
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tagbox.atomic_files import write_atomically
from tagbox.errors import TagBoxError
from tagbox.generators import ema_codebook
from tagbox.generators.ema_codebook import EmaCodebook
from tagbox.generators.quantisers import straight_through
from tagbox.generators.training import dataset, losses
from tagbox.generators.training.dataset import TrainingFile
from tagbox.generators.training.quality import Quality, measure_quality
from tagbox.generators.vqvae import VQVAE, VQVAEConfig
from tagbox.kernels.nearest_entries import nearest_entries

CHECKPOINT_SECONDS = 60.0
HELD_OUT_EXCERPTS = 24
HELD_OUT_SECONDS = 3.0

AVERAGE_DECAY = 0.999
"""Decay of the moving average of the weights, which is what is saved: it has less noise than single steps."""


@dataclass(frozen=True)
class TrainingSettings:
    """How a level is trained.

    Attributes:
        steps: of each level.
        batch: excerpts in a step.
        samples: of an excerpt.
        lr: the highest learning rate; it rises over the first twentieth of the steps and falls to a
            hundredth.
        seed: of weights, codebook and excerpts.
        bf16: compute the convolutions in bfloat16.
    """

    steps: int = 5000
    batch: int = 8
    samples: int = 16_384
    lr: float = 1e-3
    seed: int = 0
    bf16: bool = True


@dataclass(frozen=True)
class Progress:
    """The measurements of one step of training."""

    level: int
    step: int
    loss: float
    snr: float
    seconds: float


OnProgress = Callable[[Progress], None]


@dataclass
class _TrainingState:
    """All that a training of one level changes, which is all that a checkpoint has to hold.

    Attributes:
        parameters: of the level's encoder and decoder.
        averages: moving averages of the parameters.
        codebook: None before the first step.
        random: draws codebook entries.
        step: how many steps are done.
    """

    parameters: list[Tensor]
    averages: list[Tensor]
    optimiser: torch.optim.Optimizer
    codebook: EmaCodebook | None
    random: torch.Generator
    step: int = 0


def level_parameters(model: VQVAE, level: int) -> list[Tensor]:
    """Return the parameters that move when `level` is trained."""
    return [*model.encoders[level].parameters(), *model.decoders[level].parameters()]


def lr_factor(step: int, settings: TrainingSettings) -> float:
    """Return the factor on the learning rate: a short rise, then half a cosine down to a hundredth."""
    warm_up = max(1, settings.steps // 20)
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, settings.steps - warm_up)
    return 0.01 + 0.99 * 0.5 * (1 + float(torch.cos(torch.tensor(progress * torch.pi))))


def train_level(
    model: VQVAE,
    level: int,
    recordings: Sequence[TrainingFile],
    settings: TrainingSettings,
    checkpoint: Path,
    on_progress: OnProgress,
) -> None:
    """Train one level in place, from its checkpoint where there is one.

    Ctrl-C or a kill loses at most a minute: the checkpoint holds weights, optimiser, codebook and step.

    Raises:
        TagBoxError: the checkpoint is of other settings.
        KeyboardInterrupt: after the checkpoint was written.
    """
    hop = model.config.hops[level]
    samples = settings.samples // hop * hop
    description = _describe_training(model.config, level, settings)
    state = _initial_state(level_parameters(model, level), settings, level)
    if checkpoint.exists():
        _restore(state, _load_checkpoint(checkpoint, description))
    device = state.parameters[0].device
    batches = dataset.random_batches(
        recordings, settings.batch, samples, model.config.rate, (settings.seed, level, state.step)
    )
    start = saved_at = time.monotonic()
    try:
        while state.step < settings.steps:
            loss, snr = _train_step(model, level, next(batches).to(device), state, settings)
            state.step += 1
            on_progress(Progress(level, state.step, loss, snr, time.monotonic() - start))
            if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                _save_checkpoint(state, checkpoint, description)
                saved_at = time.monotonic()
    except KeyboardInterrupt:
        _save_checkpoint(state, checkpoint, description)
        raise
    _save_checkpoint(state, checkpoint, description)
    for parameter, average in zip(state.parameters, state.averages, strict=True):
        parameter.data.copy_(average)
    if state.codebook is not None:
        model.codebook(level).copy_(state.codebook.codebook)


def judge_level(model: VQVAE, level: int, held_out: Sequence[TrainingFile]) -> Quality:
    """Measure the quality of `level` on fixed excerpts of `held_out`."""
    samples = int(HELD_OUT_SECONDS * model.config.rate)
    excerpts = dataset.spread_excerpts(held_out, HELD_OUT_EXCERPTS, samples, model.config.rate)
    return measure_quality(model, excerpts, level)


def new_model(config: VQVAEConfig, seed: int) -> VQVAE:
    """Make a VQ-VAE with fresh weights; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VQVAE(config)


def _initial_state(parameters: list[Tensor], settings: TrainingSettings, level: int) -> _TrainingState:
    return _TrainingState(
        parameters,
        [parameter.detach().clone() for parameter in parameters],
        torch.optim.AdamW(parameters, lr=settings.lr, betas=(0.9, 0.98), weight_decay=1e-3),
        None,
        torch.Generator().manual_seed(settings.seed + level),
    )


def _train_step(
    model: VQVAE, level: int, target: Tensor, state: _TrainingState, settings: TrainingSettings
) -> tuple[float, float]:
    """Make one step on `target` (batch, 1, samples); return the loss and the SNR in dB."""
    with torch.autocast(target.device.type, torch.bfloat16, enabled=settings.bf16):
        latents = model.encode(target, level)
    latents = latents.float()
    flat = latents.detach().transpose(1, 2).flatten(0, 1)
    codebook = state.codebook or ema_codebook.initial_codebook(flat, model.config.entries, state.random)
    codes, entries = nearest_entries(latents.detach(), codebook.codebook)
    state.codebook = ema_codebook.update_codebook(codebook, flat, codes.flatten(), state.random)
    with torch.autocast(target.device.type, torch.bfloat16, enabled=settings.bf16):
        output = model.decode(straight_through(latents, entries), level)
    output = output.float()
    loss = losses.total_loss(target, output, latents, entries)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.parameters, 1.0)
    for group in state.optimiser.param_groups:
        group["lr"] = settings.lr * lr_factor(state.step, settings)
    state.optimiser.step()
    decay = min(AVERAGE_DECAY, (state.step + 1) / (state.step + 10))
    torch._foreach_lerp_(state.averages, [parameter.detach() for parameter in state.parameters], 1 - decay)
    snr = -10 * float(torch.log10(losses.squared_error(target, output.detach())))
    return float(loss.detach()), snr


def _describe_training(config: VQVAEConfig, level: int, settings: TrainingSettings) -> dict[str, Any]:
    """Describe all that has to be the same to resume; training may resume towards another number of steps."""
    architecture = {
        key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()
    }
    description = {**asdict(settings), "level": level, "design": architecture}
    description.pop("steps")
    return description


def _save_checkpoint(state: _TrainingState, checkpoint: Path, description: dict[str, Any]) -> None:
    if state.codebook is None:
        return
    contents = {
        "about": description,
        "step": state.step,
        "weights": [parameter.detach() for parameter in state.parameters],
        "smooth": state.averages,
        "optimiser": state.optimiser.state_dict(),
        "sums": state.codebook.sums,
        "uses": state.codebook.uses,
        "codebook": state.codebook.codebook,
        "random": state.random.get_state(),
    }
    saved = io.BytesIO()
    torch.save(contents, saved)
    with write_atomically(checkpoint, force=True) as temporary:
        # PyTorch's own errors do not say what the system refused.
        temporary.write_bytes(saved.getbuffer())


def _load_checkpoint(checkpoint: Path, description: dict[str, Any]) -> dict[str, Any]:
    try:
        saved: dict[str, Any] = torch.load(checkpoint, weights_only=True, map_location="cpu")
        saved_description = saved["about"]
    except Exception as error:
        raise TagBoxError(
            f"{checkpoint} is no checkpoint of a training ({type(error).__name__}); "
            f"remove the folder {os.fspath(checkpoint.parent)} to begin again"
        ) from error
    differing = sorted(key for key in description if saved_description.get(key) != description[key])
    if differing:
        raise TagBoxError(
            f"{checkpoint} was made with another {', '.join(differing)}; give the same settings to go on, "
            f"or remove the folder {os.fspath(checkpoint.parent)} to begin again"
        )
    return saved


def _restore(state: _TrainingState, saved: dict[str, Any]) -> None:
    tensors = [*state.parameters, *state.averages]
    for tensor, value in zip(tensors, [*saved["weights"], *saved["smooth"]], strict=True):
        tensor.data.copy_(value)
    state.optimiser.load_state_dict(saved["optimiser"])
    device = state.parameters[0].device
    state.codebook = EmaCodebook(*(saved[name].to(device) for name in ("sums", "uses", "codebook")))
    state.random.set_state(saved["random"])
    state.step = saved["step"]
