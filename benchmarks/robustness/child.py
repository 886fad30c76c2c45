"""Read many damaged inputs in one process of limited memory, and report each in a line.

    python -m benchmarks.robustness.child SEEDS TARGET SEED FIRST LAST FOLDER

SEEDS is a pickled list of targets. A line of JSON goes to standard output before and after each input.
"""

import json
import os
import pickle
import resource
import shutil
import sys
import traceback
from pathlib import Path

from benchmarks.robustness.damage import damage, random_for
from benchmarks.robustness.seeds import Target
from tagbox.errors import MachineError, TagBoxError

SPARE_BYTES = 1 << 30
"""Memory beyond what the libraries take; no input is longer than some 100 KB."""


def limit_memory(spare: int = SPARE_BYTES) -> None:
    """Limit the address space of this process to `spare` bytes more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + spare
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def read_damaged(target: Target, seed: int, index: int, folder: Path) -> dict[str, str]:
    """Damage and read one input; return what came of it: "read", "refused" or "fault", and why."""
    inner = folder / "input"
    inner.mkdir()
    path = inner / f"damaged.{target.ending}"
    path.write_bytes(damage(target.data, random_for(seed, target.name, index), target.is_json))
    try:
        result = {"outcome": "read", "why": str(target.read(path))}
    except MachineError as error:
        result = {"outcome": "fault", "why": f"memory: {error}"}
    except TagBoxError as error:
        several = "\n" in str(error).strip()
        result = {"outcome": "fault" if several else "refused", "why": str(error)}
    except (Exception, RecursionError) as error:
        where = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in where if "/tagbox/" in frame.filename] or list(where)
        last = ours[-1]
        result = {
            "outcome": "fault",
            "why": f"{type(error).__name__}: {str(error)[:150]} ({Path(last.filename).name}:{last.lineno})",
        }
    strangers = [each.name for each in folder.iterdir() if each != inner]
    if strangers:
        result = {"outcome": "fault", "why": f"files outside of the folder: {strangers}"}
    shutil.rmtree(inner)
    return result


def main() -> None:
    """Read the inputs that are asked for."""
    seeds, name, seed, first, last, folder = sys.argv[1:]
    targets: list[Target] = pickle.loads(Path(seeds).read_bytes())
    target = next(each for each in targets if each.name == name)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.chdir(folder)
    limit_memory()
    for index in range(int(first), int(last)):
        print(json.dumps({"begin": index}), file=out, flush=True)
        before = os.fstat(2).st_size
        result = read_damaged(target, int(seed), index, Path(folder))
        # Libraries in C write to the terminal past Python.
        if os.fstat(2).st_size > before and result["outcome"] != "fault":
            noise = os.pread(2, 120, before).decode("utf-8", "replace").strip()
            result = {"outcome": "fault", "why": f"words on the terminal: {noise}"}
        print(json.dumps({"end": index, **result}), file=out, flush=True)


if __name__ == "__main__":
    main()
