"""Processes that make lessons while the network learns from the last ones.

On a busy machine, two threads of one computation wait for each other at every step of it; two processes of
one thread each do not. What they make arrives when it arrives: until then lessons are given once more.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import torch
from torch import Tensor, multiprocessing

from scripts.share_training.drawing import Bank
from scripts.share_training.lessons import Lesson, Teacher, mirrored

WAITING = 4
"""Lessons that are made ahead."""
KEPT = 24
"""Lessons that can be given once more."""
MOST_TIMES = 3.0
"""How often a lesson is given on average, at most; then the next one is waited for."""
REFRESH_EVERY = 60.0
"""Seconds."""


def make(queue: Any, folder: Path, left_out: tuple[str, ...], batch: int, seed: tuple[int, ...]) -> None:
    """Make lessons without end, one after the other."""
    torch.set_num_threads(1)
    bank = Bank(folder, left_out)
    bank.refresh()
    refreshed = time.monotonic()
    numbers = np.random.default_rng(seed)
    random = torch.Generator().manual_seed(int(numbers.integers(2**62)))
    teacher = Teacher(bank, numbers, random)
    while True:
        if time.monotonic() - refreshed > REFRESH_EVERY:
            bank.refresh()
            refreshed = time.monotonic()
        with torch.no_grad():
            lesson = teacher.made(batch)
        queue.put((lesson.heard, lesson.energies, len(bank.known)))


@dataclass
class Makers:
    """Gives the lessons that the processes make.

    Attributes:
        random: what is drawn with when a lesson is given once more.
        files: of the bank, as the last lesson knew them.
        made: how many lessons are new.
        given: how many were given.
    """

    random: torch.Generator
    queue: Any
    processes: list[Any]
    kept: list[Lesson] = field(default_factory=list)
    files: int = 0
    made: int = 0
    given: int = 0

    @classmethod
    def start(
        cls,
        count: int,
        folder: Path,
        left_out: tuple[str, ...],
        batch: int,
        seed: tuple[int, ...],
        random: torch.Generator,
    ) -> "Makers":
        """Start so many processes, which end with this one."""
        context = multiprocessing.get_context("spawn")
        queue = context.Queue(WAITING)
        processes = [
            context.Process(target=make, args=(queue, folder, left_out, batch, (*seed, index)), daemon=True)
            for index in range(count)
        ]
        for process in processes:
            process.start()
        return cls(random, queue, processes)

    def lesson(self) -> Lesson:
        """Give a new lesson if there is one, and one of the last with sides swapped if not."""
        self.given += 1
        wait = len(self.kept) < KEPT // 4 or self.given > MOST_TIMES * max(1, self.made)
        try:
            found: tuple[Tensor, Tensor, int] = self.queue.get(block=wait)
        except Empty:
            one = self.kept[int(torch.randint(len(self.kept), (1,), generator=self.random))]
            return Lesson(mirrored(one.heard, self.random), one.energies)
        self.made += 1
        self.files = found[2]
        # Of its own memory: what came from the other process is a file that it holds open.
        one = Lesson(found[0].clone(), found[1].clone())
        self.kept = [*self.kept, one][-KEPT:]
        return one
