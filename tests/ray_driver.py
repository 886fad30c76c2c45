"""Programs that use a cluster of Ray, each for a process of its own: Ray's threads may crash it.

    python ray_driver.py deeds ADDRESS COUNT ITEMS [FOLDER]

does the deeds ITEMS, as JSON, with COUNT actors (0 for as many as there is room for), and prints what
happened, as JSON. With FOLDER it ends the work as soon as two temporary files are there.

    python ray_driver.py tagbox RECORDING MARKER WORDS...

runs the command line, whose actors are steered by `parallel_work.prepare_to_die_once` or, where MARKER ends
with /, by `parallel_work.prepare_to_hold`.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from parallel_work import prepare_deeds, prepare_to_die_once, prepare_to_hold
from tagbox.errors import TagBoxError
from tagbox.parallel import ray_actors
from tagbox.parallel.engine import Events, OnProgress, Prepare
from tagbox.parallel.ray_actors import RayActors
from tagbox.temporary_files import PREFIX

DEADLINE_SECONDS = 600
HEAD_SECONDS = 5.0
"""Instead of the time that users have to start the head again."""


def do_deeds(address: str, count: str, items: str, folder: str | None = None) -> None:
    """Do deeds, and print the events, or the error."""
    ray_actors.END_SECONDS = DEADLINE_SECONDS
    told: list[Any] = []
    try:
        engine = RayActors(address, count=int(count) or None)
        with closing(engine.run(prepare_deeds, json.loads(items), lambda *_: None)) as events:
            for event in events:
                told.append([type(event).__name__, dataclasses.asdict(event)])
                if folder is not None and len(told) == 2:
                    wait_for_two_files(Path(folder))
                    break
    except TagBoxError as error:
        told.append([type(error).__name__, str(error)])
    print(json.dumps(told))


def wait_for_two_files(folder: Path) -> None:
    """Wait until two temporary files are in `folder`."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(list(folder.glob(f"{PREFIX}*"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def run_tagbox(recording: str, marker: str, *words: str) -> None:
    """Run the command line with actors that die of a recording once, or hold it."""
    run = RayActors.run
    steered = prepare_to_die_once
    if marker.endswith("/"):
        steered, ray_actors.HEAD_SECONDS = prepare_to_hold, HEAD_SECONDS

    def run_steered(
        engine: RayActors, prepare: Prepare, items: Iterable[Any], on_progress: OnProgress
    ) -> Events:
        return run(engine, partial(steered, prepare, recording, Path(marker)), items, on_progress)

    RayActors.run = run_steered  # type: ignore[method-assign]
    from tagbox.cli import main

    sys.argv = ["tagbox", *words]
    main()


if __name__ == "__main__":
    {"deeds": do_deeds, "tagbox": run_tagbox}[sys.argv[1]](*sys.argv[2:])
