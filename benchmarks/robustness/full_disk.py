"""Run every writer on disks that are too small by ever less, until it fits; see what is left and said."""

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from matplotlib.figure import Figure

from tagbox.atomic_files import write_atomically, write_json
from tagbox.audio import files
from tagbox.audio.writers import open_stem_writer
from tagbox.errors import MachineError
from tagbox.evaluation import result_store
from tagbox.results import Separation, Transfer
from tagbox.temporary_files import PREFIX
from tagbox.weights import cache_file

PAGE = 4096
"""A tmpfs gives memory out by pages, so that each size more lets one more page be written."""
MAX_PAGES = 400
DETACH = 2
"""Of umount2: whatever still has files open there."""
READ_ONLY = 1
"""Of mount."""
RATE = 44_100

Writer = Callable[[Path], None]


@dataclass
class FullDisks:
    """What came of a writer on disks of all sizes up to the one that is large enough."""

    tried: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)


def run(step_pages: int = 1) -> dict[str, FullDisks] | str:
    """Try every writer on every size of a disk; return what came of it, or why nothing could be tried."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _small_disk(Path(folder), 1):
                pass
        except OSError as error:
            return f"no small disk can be mounted here ({error})"
        return {name: _try_writer(writer, Path(folder), step_pages) for name, writer in WRITERS.items()}


def full_standard_output() -> str | None:
    """Print to a standard output that is full; return what was wrong with the answer, if anything."""
    if not Path("/dev/full").exists():
        return "there is no /dev/full here"
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "tagbox", "presets"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    lines = done.stderr.strip().splitlines()
    return None if len(lines) == 1 and done.returncode == 1 else f"exit code {done.returncode}: {lines[-1:]}"


def _try_writer(writer: Writer, folder: Path, step_pages: int) -> FullDisks:
    result = FullDisks()
    for pages in range(1, MAX_PAGES, step_pages):
        with _small_disk(folder, pages) as disk:
            result.tried += 1
            fault, fitted = _try_once(writer, disk)
            result.refused += not fitted
            if fault:
                result.faults.append(f"{pages} pages: {fault}")
            if fitted:
                break
    return result


def _try_once(writer: Writer, disk: Path) -> tuple[str | None, bool]:
    """Write to a small disk; return what was wrong, and whether all was written."""
    before = {"old.txt"}
    with suppress(OSError):
        (disk / "old.txt").touch()
    try:
        writer(disk)
    except MachineError as error:
        several = "\n" in str(error)
        allowed = before
        if writer is _write_records:
            # Records are appended one by one, and each that is there is whole.
            allowed = {*before, result_store.REQUEST_FILE, result_store.RECORDS_FILE}
        left = {path.name for path in disk.rglob("*") if path.is_file()} - allowed
        if several or left:
            return f"{left} are left, and it says {error}", False
        return None, False
    except Exception as error:
        return f"{type(error).__name__}: {error}", False
    hidden = [path.name for path in disk.rglob(f"{PREFIX}*")]
    return (f"{hidden} are left" if hidden else None), True


@contextmanager
def _small_disk(folder: Path, pages: int, read_only: bool = False) -> Iterator[Path]:
    """Mount a disk of `pages` pages.

    Raises:
        OSError: that takes rights that this process lacks.
    """
    disk = folder / "disk"
    disk.mkdir(exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={pages * PAGE},nr_inodes=64,mode=777".encode()
    if libc.mount(b"tmpfs", os.fsencode(disk), b"tmpfs", READ_ONLY if read_only else 0, options):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        yield disk
    finally:
        libc.umount2(os.fsencode(disk), DETACH)


def _music() -> torch.Tensor:
    return torch.rand(2, 20_000, generator=torch.Generator().manual_seed(0)) - 0.5


def _write_audio(name: str) -> Writer:
    return lambda disk: files.write(disk / name, _music(), RATE)


def _write_stems(format: str) -> Writer:
    def write(disk: Path) -> None:
        music = _music()
        with open_stem_writer(disk / "out", ["violin"], RATE, 2, 20_000, format, None, False) as writer:
            for start in range(0, 20_000, 5_000):
                writer.add(torch.stack([music, -music])[..., start : start + 5_000])
            writer.finish({"tags": ["violin"]})

    return write


def _save_separation(disk: Path) -> None:
    separation = Separation({"violin": _music()}, _music(), RATE, (), {"tags": ["violin"]})
    separation.save(disk / "out")


def _save_transfer(disk: Path) -> None:
    from tagbox.methods.steering import NOTHING_TO_STEER

    Transfer(_music(), RATE, NOTHING_TO_STEER, {"tags": ["violin"]}).save(disk / "out.flac")


def _write_records(disk: Path) -> None:
    result_store.open_run(disk, {"methods": {}}, resume=False)
    for number in range(40):
        result_store.append_records(disk, [{"key": str(number), "why": "x" * 500}])


def _write_weights(disk: Path) -> None:
    cache_file.write_cache_file(disk / "a.safetensors", {"weight": torch.rand(100, 100)}, {"model": "a"})


def _write_figure(disk: Path) -> None:
    with write_atomically(disk / "figure.png") as temporary:
        figure = Figure()
        figure.add_subplot().plot([0, 1])
        figure.savefig(temporary)


WRITERS: dict[str, Writer] = {
    "wav": _write_audio("a.wav"),
    "flac": _write_audio("a.flac"),
    "stems in wav": _write_stems("wav"),
    "stems in flac": _write_stems("flac"),
    "Separation.save": _save_separation,
    "Transfer.save": _save_transfer,
    "run.json": lambda disk: write_json({"tags": ["violin"] * 2000}, disk / "run.json", False),
    "results.jsonl": _write_records,
    "weights of the cache": _write_weights,
    "a figure": _write_figure,
}
