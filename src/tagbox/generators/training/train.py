"""Training a VQ-VAE, one level after the other: they share nothing, so each is a training of its own."""

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
from tagbox.generators.training import dataset, losses
from tagbox.generators.training.dataset import TrainingFile
from tagbox.generators.training.quality import Quality, measure
from tagbox.generators.vqvae import VQVAE, VQVAEConfig, nearest

CHECKPOINT_SECONDS = 60.0
HELD_OUT_EXCERPTS = 24
HELD_OUT_SECONDS = 3.0
SMOOTHING = 0.999
"""Memory of the moving average of the weights, which is what is kept: late steps' noise averages out."""


@dataclass(frozen=True)
class TrainingSettings:
    """How a level is trained.

    Attributes:
        steps: of each level.
        batch: excerpts a step.
        samples: of an excerpt.
        lr: Adam's rate at its highest; it rises over a twentieth of the steps and falls to a hundredth.
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
    """What a step of training showed."""

    level: int
    step: int
    loss: float
    snr: float
    seconds: float


OnProgress = Callable[[Progress], None]


def level_parameters(model: VQVAE, level: int) -> list[Tensor]:
    """What moves when `level` is trained."""
    return [*model.encoders[level].parameters(), *model.decoders[level].parameters()]


def rate_at(step: int, settings: TrainingSettings) -> float:
    """The factor on the rate: a short rise, then half a cosine down to a hundredth."""
    rise = max(1, settings.steps // 20)
    if step < rise:
        return (step + 1) / rise
    along = (step - rise) / max(1, settings.steps - rise)
    return 0.01 + 0.99 * 0.5 * (1 + float(torch.cos(torch.tensor(along * torch.pi))))


def train_level(
    model: VQVAE,
    level: int,
    recordings: Sequence[TrainingFile],
    settings: TrainingSettings,
    checkpoint: Path,
    on_progress: OnProgress,
) -> None:
    """Train one level in place, from its checkpoint where there is one.

    Ctrl-C or a kill loses at most a minute: the checkpoint holds weights, optimiser, codebook and place.

    Raises:
        TagBoxError: the checkpoint is of other settings.
        KeyboardInterrupt: after the checkpoint was written.
    """
    parameters = level_parameters(model, level)
    device = parameters[0].device
    hop = model.design.hops[level]
    samples = settings.samples // hop * hop
    optimiser = torch.optim.AdamW(parameters, lr=settings.lr, betas=(0.9, 0.98), weight_decay=1e-3)
    random = torch.Generator().manual_seed(settings.seed + level)
    state: ema_codebook.EmaCodebook | None = None
    smooth = [p.detach().clone() for p in parameters]
    first = 0
    # The number of steps may change on resuming: training goes on towards the new end.
    about = {**asdict(settings), "level": level, "design": _plain(asdict(model.design))}
    about.pop("steps")
    if checkpoint.exists():
        saved = _load(checkpoint, about)
        first = saved["step"]
        for own, theirs in zip([*parameters, *smooth], [*saved["weights"], *saved["smooth"]], strict=True):
            own.data.copy_(theirs)
        optimiser.load_state_dict(saved["optimiser"])
        state = ema_codebook.EmaCodebook(*(saved[name].to(device) for name in ("sums", "uses", "codebook")))
        random.set_state(saved["random"])
    music = dataset.batches(
        recordings, settings.batch, samples, model.design.rate, (settings.seed, level, first)
    )
    start = saved_at = time.monotonic()

    def save(step: int) -> None:
        if state is None:
            return
        with write_atomically(checkpoint, force=True) as beside:
            torch.save(
                {
                    "about": about,
                    "step": step,
                    "weights": [p.detach() for p in parameters],
                    "smooth": smooth,
                    "optimiser": optimiser.state_dict(),
                    "sums": state.sums,
                    "uses": state.uses,
                    "codebook": state.codebook,
                    "random": random.get_state(),
                },
                beside,
            )

    step = first
    try:
        for step in range(first, settings.steps):
            target = next(music).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
                latents = model.encode(target, level)
            latents = latents.float()
            flat = latents.detach().transpose(1, 2).flatten(0, 1)
            if state is None:
                state = ema_codebook.begin(flat, model.design.entries, random)
            codes, entries = nearest(latents.detach(), state.codebook)
            state = ema_codebook.update(state, flat, codes.flatten(), random)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
                output = model.decode(latents + (entries - latents).detach(), level)
            output = output.float()
            loss = losses.total(target, output, latents, entries)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            for group in optimiser.param_groups:
                group["lr"] = settings.lr * rate_at(step, settings)
            optimiser.step()
            memory = min(SMOOTHING, (step + 1) / (step + 10))
            torch._foreach_lerp_(smooth, [p.detach() for p in parameters], 1 - memory)
            snr = -10 * float(torch.log10(losses.squared(target, output.detach())))
            on_progress(Progress(level, step + 1, float(loss.detach()), snr, time.monotonic() - start))
            if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                save(step + 1)
                saved_at = time.monotonic()
    except KeyboardInterrupt:
        save(step)
        raise
    save(settings.steps)
    for parameter, kept in zip(parameters, smooth, strict=True):
        parameter.data.copy_(kept)
    if state is not None:
        model.codebook(level).copy_(state.codebook)


def judge(model: VQVAE, level: int, held_out: Sequence[TrainingFile]) -> Quality:
    """The quality of `level` on fixed excerpts of `held_out`."""
    samples = int(HELD_OUT_SECONDS * model.design.rate)
    chosen = dataset.evenly(held_out, HELD_OUT_EXCERPTS, samples, model.design.rate)
    return measure(model, chosen, level)


def new_model(design: VQVAEConfig, seed: int) -> VQVAE:
    """A VQ-VAE with fresh weights; the same seed gives the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VQVAE(design)


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def _load(checkpoint: Path, about: dict[str, Any]) -> dict[str, Any]:
    try:
        saved: dict[str, Any] = torch.load(checkpoint, weights_only=True, map_location="cpu")
        theirs = saved["about"]
    except Exception as error:
        raise TagBoxError(
            f"{checkpoint} is no checkpoint of a training ({type(error).__name__}); "
            f"remove the folder {os.fspath(checkpoint.parent)} to begin again"
        ) from error
    differing = sorted(key for key in about if theirs.get(key) != about[key])
    if differing:
        raise TagBoxError(
            f"{checkpoint} was made with another {', '.join(differing)}; give the same settings to go on, "
            f"or remove the folder {os.fspath(checkpoint.parent)} to begin again"
        )
    return saved
