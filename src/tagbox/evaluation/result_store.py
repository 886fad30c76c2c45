"""Results on disk: what was asked in run.json, one JSON line a record, safe against kill -9.

A line is written in one go and synced before the next case begins. A process that dies in the middle of a
line leaves a torn one at the end, which is cut off when the run goes on; a broken line anywhere else is
damage, and is said.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tagbox.atomic_files import write_atomically
from tagbox.errors import TagBoxError

REQUEST, RECORDS = "run.json", "results.jsonl"
PASSING = ("versions",)
"""What may differ between a run and the one that goes on with it."""
GROWING = "methods"
"""To what a run that goes on may add: a new method is measured on the cases that are there."""


def open_run(folder: Path, request: Mapping[str, Any], resume: bool) -> list[dict[str, Any]]:
    """Make `folder` ready for `request`, and hand back the records that are there already.

    A run that goes on asks for the same, and perhaps for further methods.

    Raises:
        TagBoxError: there are results and `resume` is not given, they are of another request, or damaged.
    """
    described = json.loads(json.dumps(request))
    path = folder / REQUEST
    if path.exists():
        if not resume:
            raise TagBoxError(
                f"{folder} holds results already; go on with --resume, or give another folder with -o"
            )
        earlier = _load(path)
        wanted, there = described.get(GROWING, {}), earlier.get(GROWING, {})
        before = {**described, GROWING: {name: wanted[name] for name in wanted if name in there}}
        for name in sorted({*earlier, *described} - set(PASSING)):
            if earlier.get(name, {}) != before.get(name, {}):
                raise TagBoxError(
                    f"{folder} holds results of another run: {_difference(name, earlier, before)}; "
                    "give the same options to resume, or another folder"
                )
        if len(wanted) > len(there):
            _write(path, described)
        return read(folder, repair=True)
    if (folder / RECORDS).exists():
        raise TagBoxError(f"{folder} holds a {RECORDS} without a {REQUEST}; give another folder with -o")
    _write(path, described)
    return []


def _write(path: Path, request: Mapping[str, Any]) -> None:
    with write_atomically(path, force=True) as beside:
        beside.write_text(json.dumps(request, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def append(folder: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Add records: on disk when this returns.

    Raises:
        TagBoxError: the disk is full, or the folder cannot be written.
    """
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    try:
        with (folder / RECORDS).open("ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TagBoxError(
            f"cannot write to {folder} ({error.strerror}); make room there, then go on with --resume"
        ) from error


def read(folder: Path, repair: bool = False) -> list[dict[str, Any]]:
    """All records; with `repair`, a torn last line is cut off the file.

    Raises:
        TagBoxError: a line that is not the last is damaged.
    """
    path = folder / RECORDS
    if not path.exists():
        return []
    data = path.read_bytes()
    complete = data[: data.rfind(b"\n") + 1]
    if repair and len(complete) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(complete))
    records = []
    for number, line in enumerate(complete.splitlines(), 1):
        try:
            record = json.loads(line)
            records.append({**record, "key": str(record["key"])})
        except (ValueError, KeyError, TypeError) as error:
            raise TagBoxError(
                f"{path}, line {number} is damaged; delete that line, and --resume measures its case again"
            ) from error
    return records


def request_of(folder: Path) -> dict[str, Any]:
    """What was asked.

    Raises:
        TagBoxError: there is no run in `folder`.
    """
    if not (folder / REQUEST).is_file():
        raise TagBoxError(f"{folder} holds no results; name the folder that was given with -o")
    return _load(folder / REQUEST)


def _load(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TagBoxError(f"{path} is damaged; give another folder with -o") from error
    if not isinstance(loaded, dict):
        raise TagBoxError(f"{path} is damaged; give another folder with -o")
    return loaded


def _difference(name: str, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    before, after = earlier.get(name), now.get(name)
    if isinstance(before, dict) and isinstance(after, dict):
        for inner in sorted({*before, *after}):
            if before.get(inner) != after.get(inner):
                return f"{name} {inner!r} differ"
    return f"{name} was {json.dumps(before)[:80]}, now {json.dumps(after)[:80]}"
