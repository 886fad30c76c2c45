"""Audio players for a few sources, with the audio inside the page."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from tagbox.evaluation.case import Record
from tagbox.evaluation.reports.content import format_db

MAX_EMBEDDED_BYTES = 30_000_000
"""How much audio one page embeds; browsers become slow beyond it."""
MEDIA_TYPES = {".mp3": "audio/mpeg", ".wav": "audio/wav"}


def render_players(records: Sequence[Record], folder: Path) -> list[str]:
    """Return a block of HTML for each source that has audio below `folder`."""
    blocks, embedded_bytes = [], 0
    for (split, track, source), signals in _audio_by_source(records).items():
        rows = []
        for name, (path, label) in signals.items():
            file = folder / path
            size = file.stat().st_size if file.is_file() else 0
            if not size:
                player = f"{escape(path)} is not there any more"
            elif embedded_bytes + size > MAX_EMBEDDED_BYTES:
                player = f"in {escape(path)} (this page would grow too large)"
            else:
                embedded_bytes += size
                player = f'<audio controls preload="none" src="{_data_url(file)}"></audio>'
            rows.append(f"<tr><td>{escape(name)}</td><td>{escape(label)}</td><td>{player}</td></tr>")
        where = f"{split}/{track}" if split else track
        blocks.append(f"<h3>{escape(source)} in {escape(where)}</h3><table>{''.join(rows)}</table>")
    return blocks


def _audio_by_source(records: Sequence[Record]) -> dict[tuple[str, str, str], dict[str, tuple[str, str]]]:
    """Return, for each split, track and source, the path and a label of each signal by its name."""
    audio: dict[tuple[str, str, str], dict[str, tuple[str, str]]] = {}
    for record in records:
        signals = audio.setdefault((record["split"], record["track"], record["source"]), {})
        for name, path in record.get("audio", {}).items():
            is_estimate = name == record["method"] and "si_sdri" in record
            signals[name] = (path, f"{format_db(record['si_sdri'])} dB" if is_estimate else "")
    return {source: signals for source, signals in audio.items() if signals}


def _data_url(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{MEDIA_TYPES[path.suffix]};base64,{data}"
