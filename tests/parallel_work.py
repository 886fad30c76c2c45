"""Work for engines that a test can steer; a process that does it imports little."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from tagbox.errors import TagBoxError
from tagbox.parallel.engine import Progress, Report, Work
from tagbox.temporary_files import temporary_folder


def prepare_deeds(threads: int | None) -> Work:
    """Make the work that obeys its items."""
    if os.environ.get("TAGBOX_TEST_START") == "fails":
        os._exit(3)
    return do_deed


def do_deed(item: tuple[str, Any], report: Report) -> Any:
    """Return the item and this process, unless it says otherwise."""
    deed, value = item
    if deed == "die":
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
