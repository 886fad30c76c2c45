#!/usr/bin/env python3
"""Teach the share network on mixtures made in a simulated studio.

    python -m scripts.train_share_network BANK RUN.pt --minutes 600 [--begin-from WEIGHTS.safetensors]
        [--leave-out MuseScore_General_Lite]...

BANK is what scripts/training_sounds wrote; files that appear later are taken in. RUN.pt holds the whole
state and is written every two minutes and when the process is asked to end; the same command goes on from
it. A training that begins can take its weights from those that ship, with --begin-from. RUN.jsonl beside it
is the log, and RUN-kept/ holds the averaged weights of every --keep-every steps as they would ship, so that
the best can be chosen by scripts/judge_share_network.py. The learning rate falls along a cosine over
--minutes, counted over all sittings; with more minutes than before it rises again.

On a CPU one process learns and --makers others make the mixtures; with --device cuda they are made there.
"""

import argparse
import json
import signal
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from torch import Tensor

from scripts.export_share_network import export
from scripts.share_training import checkpoint
from scripts.share_training.checkpoint import Progress
from scripts.share_training.drawing import Bank
from scripts.share_training.lessons import Lesson, Teacher
from scripts.share_training.makers import REFRESH_EVERY, Makers
from scripts.share_training.objective import loss
from scripts.share_training.warm_start import warm_start
from tagbox.taggers.networks.share_unet import ShareUNet

WARM_UP = 150
"""Steps until the learning rate is at its highest."""
SLOWEST = 0.999
"""Of the averaged weights: what a step leaves of them."""
LAST = 0.03
"""Of the learning rate, at the end."""
LONGEST_GRADIENT = 1.0
MEASURED = 12
"""Lessons by which the batch norms of a warm start are set."""
SAVE_EVERY = 120.0
"""Seconds."""
LOG_EVERY = 25
"""Steps."""
MEMORY = 100
"""Steps over which the logged loss is about the mean."""


@dataclass
class Ending:
    """Whether the process was asked to end."""

    asked: bool = False

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Take note of the signal; the step that runs is finished first."""
        del number, frame
        self.asked = True


@dataclass
class Training:
    """Everything that changes while the network learns, which is what a checkpoint holds."""

    network: ShareUNet
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor]
    numbers: np.random.Generator
    random: torch.Generator
    progress: Progress

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        checkpoint.save(
            path, self.network, self.average, self.optimiser, self.progress, self.numbers, self.random
        )

    def keep(self, folder: Path) -> None:
        """Keep the averaged weights as they would ship."""
        folder.mkdir(parents=True, exist_ok=True)
        progress = {"step": str(self.progress.step), "minutes": f"{self.progress.minutes:.1f}"}
        export(self.average, folder / f"step-{self.progress.step:06d}.safetensors", progress)

    def learn(self, lesson: Lesson) -> None:
        """Take one step."""
        device = lesson.heard.device
        with autocast(device):
            logits = self.network(lesson.heard.contiguous(memory_format=torch.channels_last))
        whole, classes = loss(logits, lesson.energies)
        self.optimiser.zero_grad(set_to_none=True)
        whole.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LONGEST_GRADIENT)
        self.optimiser.step()
        checkpoint.averaged(self.average, self.network, self.progress.step, SLOWEST)
        self.progress.step += 1
        newest = 1 / min(self.progress.step, MEMORY)
        self.progress.loss += newest * (classes.item() - self.progress.loss)


def begun(run: Path, device: torch.device, highest: float, decay: float, seed: int) -> Training:
    """Begin a training, or take up the one whose checkpoint is there."""
    torch.manual_seed(seed)
    network = ShareUNet(learning=True).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    training = Training(
        network,
        torch.optim.AdamW(network.parameters(), lr=highest, weight_decay=decay),
        {key: value.detach().clone() for key, value in network.state_dict().items()},
        np.random.default_rng(seed),
        torch.Generator(device).manual_seed(seed),
        Progress(),
    )
    if run.exists():
        state = checkpoint.load(run, device)
        network.load_state_dict(state["network"])
        training.optimiser.load_state_dict(state["optimiser"])
        training.average = state["average"]
        training.progress = Progress(**state["progress"])
        training.numbers.bit_generator.state = state["numbers"]
        training.random.set_state(state["random"].cpu())
    return training


@dataclass
class Here:
    """Makes lessons in this process, on the device that learns."""

    teacher: Teacher
    batch: int
    refreshed: float = -REFRESH_EVERY
    made: int = 0
    given: int = 0

    @property
    def files(self) -> int:
        """Count the files of the bank."""
        return len(self.teacher.bank.known)

    def lesson(self) -> Lesson:
        """Make a new lesson."""
        if time.monotonic() - self.refreshed > REFRESH_EVERY:
            self.teacher.bank.refresh()
            self.refreshed = time.monotonic()
        self.made += 1
        self.given += 1
        with torch.no_grad():
            return self.teacher.made(self.batch)


def learning_rate(highest: float, step: int, done: float) -> float:
    """Rise over the first steps and fall along a cosine, `done` from 0 to 1."""
    falling = LAST + (1 - LAST) * (0.5 + 0.5 * float(np.cos(np.pi * min(1.0, done))))
    return highest * min(1.0, (step + 1) / WARM_UP) * falling


def autocast(device: torch.device) -> torch.autocast | nullcontext[None]:
    """Compute in bfloat16 where the processor is made for it."""
    if device.type == "cpu" and not torch.cpu._is_avx512_bf16_supported():
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


@dataclass
class Log:
    """Writes a line of JSON every `LOG_EVERY` steps.

    Attributes:
        path: of the file, which is added to.
        waited: seconds since the last line that were spent on getting lessons.
        steps: at the last line.
        minutes: at the last line.
    """

    path: Path
    steps: int
    minutes: float
    waited: float = field(default=0.0)

    def write(self, progress: Progress, source: Makers | Here) -> None:
        """Say how far the training is, and how its time was spent since the last line."""
        steps = progress.step - self.steps
        entry = {
            "step": progress.step,
            "minutes": round(progress.minutes, 2),
            "loss": round(progress.loss, 4),
            "seconds_a_step": round((progress.minutes - self.minutes) * 60 / steps, 3),
            "of_it_waiting": round(self.waited / steps, 3),
            "new": round(source.made / source.given, 3),
            "files": source.files,
            "processor_minutes": round(time.process_time() / 60, 2),
        }
        self.steps, self.minutes, self.waited = progress.step, progress.minutes, 0.0
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def train(
    training: Training, source: Makers | Here, run: Path, minutes: float, highest: float, keep_every: int
) -> None:
    """Learn until the minutes are over or the process is asked to end, and write the checkpoints."""
    ending, progress = Ending(), training.progress
    signal.signal(signal.SIGTERM, ending.ask)
    signal.signal(signal.SIGINT, ending.ask)
    log = Log(run.with_suffix(".jsonl"), progress.step, progress.minutes)
    saved = before = time.monotonic()
    while progress.minutes < minutes and not ending.asked:
        for group in training.optimiser.param_groups:
            group["lr"] = learning_rate(highest, progress.step, progress.minutes / minutes)
        began = time.monotonic()
        lesson = source.lesson()
        log.waited += time.monotonic() - began
        training.learn(lesson)
        now = time.monotonic()
        progress.minutes += (now - before) / 60
        before = now
        if progress.step % LOG_EVERY == 0:
            log.write(progress, source)
        if progress.step % keep_every == 0:
            training.keep(run.with_name(f"{run.stem}-kept"))
        if now - saved > SAVE_EVERY:
            training.save(run)
            saved = time.monotonic()
    training.save(run)


def main() -> None:
    """Train until the minutes are over."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--begin-from", type=Path, default=None, help="exported weights; RUN.pt comes first")
    parser.add_argument("--keep-every", type=int, default=500, help="steps between weights that are kept")
    parser.add_argument("--leave-out", action="append", default=[], help="MAKER, MAKER/CLASS or MAKER/FILE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of the network; the makers have one each")
    parser.add_argument("--makers", type=int, default=1, help="processes that make lessons; 0: none, on CUDA")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1.5e-3, help="the highest learning rate")
    parser.add_argument("--decay", type=float, default=2e-2, help="of the weights")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device, left_out = torch.device(args.device), tuple(args.leave_out)
    training = begun(args.run, device, args.lr, args.decay, args.seed)
    source: Makers | Here
    if device.type == "cpu" and args.makers:
        seed = (args.seed, training.progress.step)
        source = Makers.start(args.makers, args.bank, left_out, args.batch, seed, training.random)
    else:
        source = Here(Teacher(Bank(args.bank, left_out), training.numbers, training.random), args.batch)
    if args.begin_from and not training.progress.step:
        warm_start(training.network, args.begin_from, [source.lesson().heard for _ in range(MEASURED)])
        training.average = {key: one.detach().clone() for key, one in training.network.state_dict().items()}

    train(training, source, args.run, args.minutes, args.lr, args.keep_every)


if __name__ == "__main__":
    main()
