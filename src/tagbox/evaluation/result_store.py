"""Keep an evaluation's results on disk: the request in run.json, and one JSON line for each record.

Each line is written at once, and is on disk before the next case begins, so that a killed process loses no
finished case. A process that is killed while it writes leaves an incomplete last line, which is cut off when
the evaluation is resumed; an incomplete line anywhere else means that the file is damaged.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tagbox.atomic_files import write_json
from tagbox.errors import FailedWriteError, OutputExistsError, TagBoxError

REQUEST_FILE, RECORDS_FILE = "run.json", "results.jsonl"
UNCOMPARED_KEYS = ("versions",)
"""Entries of the request that may differ when an evaluation is resumed."""
EXTENDABLE_KEY = "methods"
"""The entry of the request that further systems may be added to when an evaluation is resumed."""


def open_run(folder: Path, request: Mapping[str, Any], resume: bool) -> list[dict[str, Any]]:
    """Prepare `folder` for the records of `request`, and return the records that are there already.

    A resumed evaluation has the same request as before, perhaps with further systems.

    Raises:
        OutputExistsError: there are results and `resume` is false.
        TagBoxError: the results are of another request, or damaged.
    """
    # As it will be read: tuples become lists.
    request = json.loads(json.dumps(request))
    path = folder / REQUEST_FILE
    if path.exists():
        if not resume:
            raise OutputExistsError(
                f"{folder} holds results already; go on with --resume, or give another folder with -o"
            )
        earlier = _load_object(path)
        _check_same_request(folder, earlier, request)
        if len(request.get(EXTENDABLE_KEY, {})) > len(earlier.get(EXTENDABLE_KEY, {})):
            write_json(request, path, force=True)
        return read_records(folder, repair=True)
    if (folder / RECORDS_FILE).exists():
        raise OutputExistsError(
            f"{folder} holds a {RECORDS_FILE} without a {REQUEST_FILE}; give another folder with -o"
        )
    write_json(request, path, force=True)
    return []


def append_records(folder: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append records; they are on disk when this returns.

    Raises:
        FailedWriteError: the disk is full, or the folder cannot be written.
    """
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    try:
        with (folder / RECORDS_FILE).open("ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FailedWriteError(
            f"cannot write to {folder} ({error.strerror}); make room there, then go on with --resume"
        ) from error


def read_records(folder: Path, repair: bool = False) -> list[dict[str, Any]]:
    """Read all records.

    Args:
        repair: cut an incomplete last line off the file; else it is only left out.

    Raises:
        TagBoxError: a line that is not the last is damaged.
    """
    path = folder / RECORDS_FILE
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
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            # Python's parser raises RecursionError where brackets are nested too deeply.
            raise TagBoxError(
                f"{path}, line {number} is damaged; delete that line, and --resume measures its case again"
            ) from error
    return records


def read_request(folder: Path) -> dict[str, Any]:
    """Read the request of the evaluation in `folder`.

    Raises:
        TagBoxError: there is no evaluation in `folder`.
    """
    if not (folder / REQUEST_FILE).is_file():
        raise TagBoxError(f"{folder} holds no results; name the folder that was given with -o")
    return _load_object(folder / REQUEST_FILE)


def _check_same_request(folder: Path, earlier: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    systems, earlier_systems = request.get(EXTENDABLE_KEY, {}), earlier.get(EXTENDABLE_KEY, {})
    common = {name: systems[name] for name in systems if name in earlier_systems}
    comparable = {**request, EXTENDABLE_KEY: common}
    for key in sorted({*earlier, *request} - set(UNCOMPARED_KEYS)):
        if earlier.get(key, {}) != comparable.get(key, {}):
            raise TagBoxError(
                f"{folder} holds results of another run: {_describe_difference(key, earlier, comparable)}; "
                "give the same options to resume, or another folder"
            )


def _load_object(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise TagBoxError(f"{path} is damaged; give another folder with -o") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get(EXTENDABLE_KEY, {}), dict):
        raise TagBoxError(f"{path} is damaged; give another folder with -o")
    return loaded


def _describe_difference(key: str, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    before, after = earlier.get(key), now.get(key)
    if isinstance(before, dict) and isinstance(after, dict):
        for inner in sorted({*before, *after}):
            if before.get(inner) != after.get(inner):
                return f"{key} {inner!r} differ"
    return f"{key} was {json.dumps(before)[:80]}, now {json.dumps(after)[:80]}"
