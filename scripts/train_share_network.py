#!/usr/bin/env python3
"""Teach the share network on mixtures made in a simulated studio.

    python -m scripts.train_share_network BANK RUN.pt --minutes 600 [--leave-out MuseScore_General_Lite]...

BANK is what scripts/training_sounds wrote; files that appear later are taken in. RUN.pt holds the whole
state and is written every two minutes and when the process is asked to end; the same command goes on from
it. RUN.jsonl beside it is the log. The learning rate falls along a cosine over --minutes, counted over all
sittings.
"""

import argparse
import json
import signal
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from torch import Tensor

from scripts.share_training import checkpoint
from scripts.share_training.checkpoint import Progress
from scripts.share_training.drawing import Bank
from scripts.share_training.lessons import Teacher
from scripts.share_training.objective import loss
from tagbox.taggers.networks.share_unet import ShareUNet

WARM_UP = 150
"""Steps until the learning rate is at its highest."""
SLOWEST = 0.999
"""Of the averaged weights: what a step leaves of them."""
LAST = 0.03
"""Of the learning rate, at the end."""
SAVE_EVERY = 120.0
"""Seconds."""
LOG_EVERY = 25
"""Steps."""
REFRESH_EVERY = 60.0
"""Seconds."""


@dataclass
class Ending:
    """Whether the process was asked to end."""

    asked: bool = False

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Take note of the signal; the step that runs is finished first."""
        del number, frame
        self.asked = True


def learning_rate(highest: float, step: int, done: float) -> float:
    """Rise over the first steps and fall along a cosine, `done` from 0 to 1."""
    falling = LAST + (1 - LAST) * (0.5 + 0.5 * float(np.cos(np.pi * min(1.0, done))))
    return highest * min(1.0, (step + 1) / WARM_UP) * falling


def autocast(device: torch.device) -> torch.autocast | nullcontext[None]:
    """Compute in bfloat16 where the processor is made for it."""
    if device.type == "cpu" and not torch.cpu._is_avx512_bf16_supported():
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def main() -> None:
    """Train until the minutes are over."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--leave-out", action="append", default=[], help="MAKER, MAKER/CLASS or MAKER/FILE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--new", type=float, default=0.5, help="part of the lessons that are not repeated")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--decay", type=float, default=2e-2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = torch.device(args.device)
    network = ShareUNet(learning=True).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=args.lr, weight_decay=args.decay)
    average: dict[str, Tensor] = {k: v.detach().clone() for k, v in network.state_dict().items()}
    numbers = np.random.default_rng(args.seed)
    random = torch.Generator(device).manual_seed(args.seed)
    progress = Progress()
    if args.run.exists():
        state = checkpoint.load(args.run, device)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        average = state["average"]
        progress = Progress(**state["progress"])
        numbers.bit_generator.state = state["numbers"]
        random.set_state(state["random"].cpu())
    bank = Bank(args.bank, tuple(args.leave_out))
    teacher = Teacher(bank, numbers, random)
    ending = Ending()
    signal.signal(signal.SIGTERM, ending.ask)
    signal.signal(signal.SIGINT, ending.ask)
    log = args.run.with_suffix(".jsonl")
    saved = before = refreshed = time.monotonic()
    making, since = 0.0, (progress.step, progress.minutes)
    while progress.minutes < args.minutes and not ending.asked:
        if not bank.known or time.monotonic() - refreshed > REFRESH_EVERY:
            bank.refresh()
            refreshed = time.monotonic()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(args.lr, progress.step, progress.minutes / args.minutes)
        began = time.monotonic()
        with torch.no_grad():
            lesson = teacher.lesson(args.batch, args.new)
        making += time.monotonic() - began
        with autocast(device):
            logits = network(lesson.heard.contiguous(memory_format=torch.channels_last))
        whole, classes = loss(logits, lesson.energies)
        optimiser.zero_grad(set_to_none=True)
        whole.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        checkpoint.averaged(average, network, progress.step, SLOWEST)
        now = time.monotonic()
        progress.minutes += (now - before) / 60
        before = now
        progress.step += 1
        running = 1 / min(progress.step, 100)
        progress.loss += running * (classes.item() - progress.loss)
        if progress.step % LOG_EVERY == 0:
            steps = progress.step - since[0]
            entry = {
                "step": progress.step,
                "minutes": round(progress.minutes, 2),
                "loss": round(progress.loss, 4),
                "seconds_a_step": round((progress.minutes - since[1]) * 60 / steps, 3),
                "of_it_making": round(making / steps, 3),
                "files": len(bank.known),
            }
            making, since = 0.0, (progress.step, progress.minutes)
            with log.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        if now - saved > SAVE_EVERY:
            checkpoint.save(args.run, network, average, optimiser, progress, numbers, random)
            saved = time.monotonic()
    checkpoint.save(args.run, network, average, optimiser, progress, numbers, random)


if __name__ == "__main__":
    main()
