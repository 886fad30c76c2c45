"""Players: a few cases to hear, their audio inside the page."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from tagbox.evaluation.case import Record
from tagbox.evaluation.reports.content import decibel

MOST_BYTES = 30_000_000
"""Of audio in one page; browsers grow slow beyond it."""
TYPES = {".mp3": "audio/mpeg", ".wav": "audio/wav"}


def render(records: Sequence[Record], folder: Path) -> list[str]:
    """A block of HTML for each case that has audio below `folder`."""
    heard: dict[tuple[str, str, str], dict[str, tuple[str, str]]] = {}
    for record in records:
        case = (record["split"], record["track"], record["source"])
        for name, path in record.get("audio", {}).items():
            own = name == record["method"] and "si_sdri" in record
            heard.setdefault(case, {})[name] = (path, f"{decibel(record['si_sdri'])} dB" if own else "")
    blocks, spent = [], 0
    for (split, track, source), tracks in heard.items():
        rows = []
        for name, (path, label) in tracks.items():
            file = folder / path
            size = file.stat().st_size if file.is_file() else 0
            if not size:
                player = f"{escape(path)} is not there any more"
            elif spent + size > MOST_BYTES:
                player = f"in {escape(path)} (this page would grow too large)"
            else:
                spent += size
                player = f'<audio controls preload="none" src="{_data(file)}"></audio>'
            rows.append(f"<tr><td>{escape(name)}</td><td>{escape(label)}</td><td>{player}</td></tr>")
        where = f"{split}/{track}" if split else track
        blocks.append(f"<h3>{escape(source)} in {escape(where)}</h3><table>{''.join(rows)}</table>")
    return blocks


def _data(path: Path) -> str:
    return f"data:{TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
