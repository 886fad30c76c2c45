"""Do items with actors of a Ray cluster, on all its machines. Others take up what one has that dies.

An actor is a process that Ray starts where the cluster has room for it. It loads the models once and does one
item after the other. Items and results are small (paths, not waveforms), so that Ray's object store has next
to nothing to carry; recordings and results are on storage that all machines see. Ray's own retries are off:
an item that kills its actors, for want of memory for example, is given up after a few.
"""

import logging
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tagbox
from tagbox.errors import MachineError, TagBoxError
from tagbox.kernels import allocator
from tagbox.kernels.threads import are_threads_given, limit_spinning
from tagbox.parallel.dispatch import MAX_FAILED_STARTS, Waiting, dispatch
from tagbox.parallel.engine import Events, OnProgress, Prepare, Progress, Work
from tagbox.parallel.job_count import WORKER_BYTES
from tagbox.signals import SIGNALS

MAX_TRIES = 3
"""Actors that may die of an item before it is given up. Machines that are taken away cost some, too."""
PROGRESS_SECONDS = 2.0
"""Progress is told no more often."""
WATCH_SECONDS = 20.0
"""For as long an actor waits for progress before it says that there is none."""
END_SECONDS = 10.0
"""For as long actors may remove their temporary files before they are killed."""
HEAD_SECONDS = 40.0
"""Without an answer of the cluster's head, after which it is given up. Ray ends the program after 60 s."""
CHECK_SECONDS = 5.0
"""Between two looks at the head."""
PATIENCE_SECONDS = 20.0
"""Without any actor, after which it is told what is waited for."""
WATCH_GROUP = "watch"
"""The threads of an actor that answer while it works."""


def import_ray() -> Any:
    """Return the package, imported without its statistics of usage.

    Raises:
        TagBoxError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Actors without a GPU are to see that there is none; Ray announces that at length.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise TagBoxError(
            "the engine ray needs the package Ray, which is not installed here: pip install 'tagbox[ray]'"
        ) from error
    return ray


@dataclass(frozen=True)
class Resources:
    """What an actor takes of a machine.

    Attributes:
        cores: on which it computes, as many threads.
        gpus: whole ones.
        memory: bytes that it is expected to take.
    """

    cores: int
    gpus: int = 0
    memory: int = WORKER_BYTES

    def fits(self, machine: Mapping[str, float]) -> int:
        """Return how many actors fit on `machine`, whose resources have Ray's names."""
        counts = [machine.get("CPU", 0) // self.cores, machine.get("memory", 0) // self.memory]
        if self.gpus:
            counts.append(machine.get("GPU", 0) // self.gpus)
        return int(min(counts))

    def options(self) -> dict[str, Any]:
        """Return the options of an actor."""
        return {"num_cpus": self.cores, "num_gpus": self.gpus, "memory": self.memory}

    def __str__(self) -> str:
        """Say it in words."""
        gpu = f", {self.gpus} GPU" if self.gpus else ""
        return f"{self.cores} CPU{gpu} and {self.memory / 1e9:.0f} GB of memory"


def choose_resources(
    machines: Sequence[Mapping[str, float]], single_threaded: bool, device: str
) -> Resources:
    """Choose what an actor takes: a GPU where there are some, else a core, or all where they pay.

    Args:
        machines: resources of each.
        single_threaded: whether the method computes on one thread.
        device: as given on the command line.
    """
    if are_threads_given():
        cores = int(os.environ["OMP_NUM_THREADS"].split(",")[0])
    elif single_threaded:
        cores = 1
    else:
        cores = int(min((each["CPU"] for each in machines if each.get("CPU", 0) >= 1), default=1))
    has_gpu = any(each.get("GPU", 0) >= 1 for each in machines)
    if has_gpu and device not in ("cpu", "mps"):
        return Resources(cores if are_threads_given() else 1, gpus=1)
    return Resources(cores)


class RayActors:
    """Does items with actors of Ray.

    Args:
        address: of the cluster, as Ray has it: HOST:PORT of its head, "auto" for one that runs here, or
            "local" for a new one, of this machine only, that ends with the program. If None, what RAY_ADDRESS
            says, or one that runs here, or else a new one.
        count: how many actors; as many as there is room for at the beginning if None.
        single_threaded: whether the method computes on one thread.
        device: as given on the command line.
        tell: called with a line on what the cluster has, and what is waited for.
        shares_folder: whether the machines need the folder in which the command was given.

    Raises:
        TagBoxError: Ray is not installed, or nobody answers at the address.
    """

    def __init__(
        self,
        address: str | None,
        count: int | None = None,
        single_threaded: bool = True,
        device: str = "auto",
        tell: Callable[[str], None] | None = None,
        shares_folder: bool = True,
    ) -> None:
        self._ray = import_ray()
        head = address or os.environ.get("RAY_ADDRESS") or ""
        # Ray itself tries for many minutes.
        if re.fullmatch(r"[^/]+:\d{1,5}", head) and not _answers(head):
            raise TagBoxError(
                f"no Ray cluster answers at {head}; start one (ray start --head), or give another --address"
            )
        self._address, self._count = address, count
        self._single_threaded, self._device, self._tell = single_threaded, device, tell or _ignore
        self._shares_folder = shares_folder

    def run(self, prepare: Prepare, items: Iterable[Any], on_progress: OnProgress) -> Events:
        """Do `items`, numbered from 0, and yield what happens; closing the iterator ends all actors.

        Raises:
            Exception: whatever the work raises.
            TagBoxError: there is no such cluster.
            MachineError: no actor can be started, or the cluster's head is gone.
        """
        with _connected(self._ray, self._address):
            machines = [each["Resources"] for each in self._ray.nodes() if each["Alive"]]
            resources = choose_resources(machines, self._single_threaded, self._device)
            count = self._count or max(1, sum(map(resources.fits, machines)))
            self._tell(f"Ray: machines {len(machines)}, actors {count}, each with {resources}")
            watch = _Watch(self._ray, resources, self._tell)
            workers: list[_Actor] = []
            options = {**resources.options(), "max_restarts": 0, "max_task_retries": 0}
            actor = self._ray.remote(
                concurrency_groups={WATCH_GROUP: 2}, scheduling_strategy="SPREAD", **options
            )(ActorWork)
            start = partial(self._start, watch, actor, prepare, resources.cores)
            try:
                yield from dispatch(
                    Waiting(items, count),
                    workers,
                    count,
                    start,
                    watch.ready,
                    on_progress,
                    MAX_TRIES,
                    MAX_FAILED_STARTS * count,
                )
            finally:
                _end(self._ray, workers)

    def _start(self, watch: "_Watch", actor: Any, prepare: Prepare, threads: int) -> "_Actor":
        watch.wait_for_head()
        handle = actor.remote()
        folder = (str(Path.cwd()), self._shares_folder)
        ready = handle.prepare.remote(prepare, threads, *folder, tagbox.__version__)
        return _Actor(self._ray, handle, ready, self._tell)


class ActorWork:
    """Does items on one of the machines: what an actor is there."""

    def __init__(self) -> None:
        self._work: Work | None = None
        self._changed = threading.Condition()
        self._progress: tuple[int, Progress] | None = None
        self._is_ending = False

    def prepare(
        self, prepare: Prepare, threads: int, folder: str, needs_folder: bool, version: str
    ) -> tuple[str, Any]:
        """Load what all items share.

        Args:
            prepare: makes the work.
            threads: on which it may compute.
            folder: in which the command was given, and which relative paths are of.
            needs_folder: whether it has to be there.
            version: of the package there.
        """
        limit_spinning()
        allocator.keep_freed_memory()
        host = socket.gethostname()
        try:
            if tagbox.__version__ != version:
                raise MachineError(
                    f"{host} has TagBox {tagbox.__version__}, and the command is of {version}; "
                    "install the same version on all machines"
                )
            try:
                os.chdir(folder)
            except OSError as error:
                if needs_folder:
                    raise MachineError(
                        f"{host} has no folder {folder}; give the command in a folder that all machines share"
                    ) from error
            self._work = prepare(threads)
        except Exception as error:
            return "raised", _with_traceback(error)
        return "ready", None

    def do(self, index: int, item: Any) -> tuple[str, Any]:
        """Do `item`, the one of this number."""
        assert self._work is not None, "prepare comes first"

        def report(progress: Progress) -> None:
            if self._is_ending:
                raise _Ending
            with self._changed:
                self._progress = (index, progress)
                self._changed.notify_all()

        try:
            return "finished", self._work(item, report)
        except _Ending:
            return "raised", MachineError("the work was ended")
        except Exception as error:
            return "raised", _with_traceback(error)

    def watch(self) -> tuple[int, Progress] | None:
        """Return how far an item has come, when that is known anew; None where it is not for a while."""
        time.sleep(PROGRESS_SECONDS)
        with self._changed:
            self._changed.wait_for(lambda: self._progress is not None, WATCH_SECONDS)
            progress, self._progress = self._progress, None
            return progress

    def end(self) -> None:
        """Have the work end when it next tells its progress; it removes its temporary files."""
        self._is_ending = True


class _Ending(BaseException):
    """Nobody wants the result any more. Not an `Exception`, which the work might take for a fault."""


class _Actor:
    """An actor, seen from the program that hands items out.

    Args:
        ray: the package.
        handle: of the actor.
        ready: the reference to its first answer.
        tell: called with a line when it dies.
    """

    def __init__(self, ray: Any, handle: Any, ready: Any, tell: Callable[[str], None]) -> None:
        self.index: int | None = None
        self.handle = handle
        self.next: Any | None = ready
        self.watch: Any | None = None
        self.is_ready = False
        self._ray, self._tell = ray, tell
        self._reason = "died"

    @property
    def references(self) -> list[Any]:
        """Those of all that it may say next; one that has nothing to do is only watched."""
        return [each for each in (self.next, self.watch) if each is not None]

    def give(self, item: Any) -> None:
        """Have it do `item`, whose number is in `index`."""
        self.next = self.handle.do.remote(self.index, item)

    def answer(self) -> tuple[str, Any] | None:
        """Return what it has to say; None where it is dead, or cannot be reached."""
        try:
            if self.next is not None and self._is_there(self.next):
                answer: tuple[str, Any] = self._ray.get(self.next)
                self.next, self.is_ready = None, True
                if self.watch is None:
                    self._watch()
                return answer
            told = self._ray.get(self.watch)
            self._watch()
            return "progress", told[1] if told is not None and told[0] == self.index else None
        except self._ray.exceptions.RayError as error:
            self._reason = f"died {describe_death(error)}"
            return None

    def bury(self) -> str:
        """See that it is dead, for one that only could not be reached would go on; return how it died."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(self.handle)
        self._tell(f"Ray: an actor {self._reason}")
        return self._reason

    def _watch(self) -> None:
        self.watch = self.handle.watch.options(concurrency_group=WATCH_GROUP).remote()

    def _is_there(self, reference: Any) -> bool:
        return bool(self._ray.wait([reference], timeout=0)[0])


def describe_death(error: Exception) -> str:
    """Return the part of one of Ray's errors that says why, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if "Error" in line.split(":")[0] or "dead because" in line]
    return f"({(causes or lines or [type(error).__name__])[-1][:300]})"


class _Watch:
    """Waits for actors, and looks after the cluster in the meantime.

    Args:
        ray: the package.
        resources: what actors take.
        tell: called with a line on what is waited for.
    """

    def __init__(self, ray: Any, resources: Resources, tell: Callable[[str], None]) -> None:
        self._ray, self._resources, self._tell = ray, resources, tell
        self._head = ray.get_runtime_context().gcs_address
        self._began = self._looked = self._answered = time.monotonic()
        self._has_told = False

    def ready(self, actors: Sequence[_Actor], waiting: Waiting) -> list[_Actor]:
        """Wait until actors have something to say; make items in advance for as long as they do not.

        Raises:
            MachineError: the head is gone.
        """
        owners = {reference: actor for actor in actors for reference in actor.references}
        if time.monotonic() - self._looked > CHECK_SECONDS:
            self._look(actors)
        done = self._wait(owners, 0)
        while not done and waiting.may_make:
            waiting.make()
            done = self._wait(owners, 0)
        while not done:
            done = self._wait(owners, CHECK_SECONDS)
            if not done:
                self._look(actors)
        ready = {id(owners[reference]): owners[reference] for reference in done}
        return list(ready.values())

    def _wait(self, owners: Mapping[Any, _Actor], seconds: float) -> list[Any]:
        references = list(owners)
        done, waited = self._ray.wait(references, num_returns=1, timeout=seconds)
        if done and waited:
            done += self._ray.wait(waited, num_returns=len(waited), timeout=0)[0]
        return list(done)

    def _look(self, actors: Sequence[_Actor]) -> None:
        now = self._looked = time.monotonic()
        if not self._has_told and now - self._began > PATIENCE_SECONDS:
            self._has_told = True
            if not any(actor.is_ready for actor in actors):
                self._tell(f"Ray: waiting for a machine with {self._resources} to be free")
        self._check_head()

    def wait_for_head(self) -> None:
        """Wait until the head answers: without it, Ray hangs where an actor is made.

        Raises:
            MachineError: it is gone.
        """
        while not self._check_head():
            time.sleep(1.0)

    def _check_head(self) -> bool:
        """Return whether the head answers.

        Raises:
            MachineError: it has not for long.
        """
        if _answers(self._head):
            self._answered = time.monotonic()
            return True
        if time.monotonic() - self._answered > HEAD_SECONDS:
            raise MachineError(
                f"the head of the Ray cluster at {self._head} is gone; when it runs again, "
                "the same command goes on"
            )
        return False


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Connect with a cluster for the block, unless the program that uses TagBox has done so.

    Raises:
        TagBoxError: it cannot be reached, or has other versions.
    """
    if ray.is_initialized():
        yield
        return
    # Ray has handlers of its own, which lose what the program cleans up at its end.
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in SIGNALS} if is_main else {}
    with _printing_nothing():
        try:
            ray.init(
                address=address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:
            ray.shutdown()
            where = f"at {address} " if address else ""
            text = " ".join(str(error).split())
            raise TagBoxError(f"the Ray cluster {where}cannot be used: {text}") from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        try:
            yield
        finally:
            ray.shutdown()


def _answers(head: str) -> bool:
    """Return whether somebody listens at HOST:PORT."""
    host, _, port = head.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CHECK_SECONDS).close()
    except (OSError, OverflowError):
        return False
    return True


@contextmanager
def _printing_nothing() -> Iterator[None]:
    """Keep Ray, in the block, from telling the cluster's faults on standard output, where results are.

    No setting of Ray's does that (2.60).
    """
    module, name = sys.modules.get("ray._private.worker"), "print_to_stdstream"
    printing = getattr(module, name, None)
    if printing is None:
        yield
        return
    setattr(module, name, lambda *_, **__: None)
    try:
        yield
    finally:
        setattr(module, name, printing)


def _end(ray: Any, actors: Sequence[_Actor]) -> None:
    """End actors: those that work remove their temporary files first; those that take long are killed."""
    try:
        busy = [actor for actor in actors if actor.index is not None and actor.next is not None]
        with suppress(ray.exceptions.RayError):
            for actor in busy:
                actor.handle.end.options(concurrency_group=WATCH_GROUP).remote()
            if busy:
                ray.wait([actor.next for actor in busy], num_returns=len(busy), timeout=END_SECONDS)
    finally:
        for actor in actors:
            with suppress(ray.exceptions.RayError):
                ray.kill(actor.handle)


def _ignore(line: str) -> None:
    """Tell nobody."""


def _with_traceback(error: Exception) -> Exception:
    error.add_note("".join(traceback.format_exception(error)))
    return error
