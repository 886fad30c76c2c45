"""Work for engines that a test can steer; a process that does it imports little."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tagbox.errors import TagBoxError
from tagbox.parallel.engine import Prepare, Progress, Report, Work
from tagbox.temporary_files import PREFIX, temporary_folder

IDLE_SECONDS = 4.0


def prepare_deeds(threads: int | None) -> Work:
    """Make the work that obeys its items."""
    if os.environ.get("TAGBOX_TEST_START") == "fails":
        os._exit(3)
    return do_deed


def do_deed(item: tuple[str, Any], report: Report) -> Any:
    """Return the item and this process, unless it says otherwise."""
    deed, value = item
    if deed == "die":
        if value is not None and not Path(value).exists():
            # The first to die does so when others have nothing to do.
            Path(value).touch()
            time.sleep(IDLE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "die once":
        marker = Path(value)
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if deed == "raise":
        raise TagBoxError(value)
    if deed == "hold":
        with temporary_folder(Path(value)):
            time.sleep(60)
    if deed == "report":
        with temporary_folder(Path(value)):
            while True:
                report(Progress("on and on"))
                time.sleep(0.05)
    report(Progress("half", 0.5))
    return deed, value, os.getpid()


def prepare_to_die_once(prepare: Prepare, recording: str, marker: Path, threads: int | None) -> Work:
    """Make the work of `prepare`, whose process is killed while it writes the results of `recording`.

    Args:
        prepare: makes the work, of recordings of a command line.
        recording: its name without the ending.
        marker: a file that gets the number of the process, and keeps others from being killed.
        threads: see `prepare`.
    """

    def die_once(progress: Progress, report: Report) -> None:
        if not marker.exists() and any(PREFIX in path for path in _open_files()):
            marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)

    return _steered(prepare(threads), recording, die_once)


def prepare_to_hold(prepare: Prepare, recording: str, folder: Path, threads: int | None) -> Work:
    """Make the work of `prepare`, which comes to no end with `recording`; the arguments are as above.

    A file of the recording's name in `folder` tells that it has begun to write.
    """

    def hold(progress: Progress, report: Report) -> NoReturn:
        (folder / recording).touch()
        while True:
            report(progress)
            time.sleep(0.05)

    return _steered(prepare(threads), recording, hold)


def _steered(work: Work, recording: str, steer: Callable[[Progress, Report], None]) -> Work:
    def steered(item: Any, report: Report) -> Any:
        def told(progress: Progress) -> None:
            report(progress)
            if item.path.stem == recording:
                steer(progress, report)

        return work(item, told)

    return steered


def _open_files() -> list[str]:
    return [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]  # noqa: PTH115
