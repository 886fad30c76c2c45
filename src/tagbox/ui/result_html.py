"""The result of a job as HTML: a card with a player, a spectrogram and a download for each track."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from tagbox.tags.resolve import short_name
from tagbox.ui.processing import JobResult, ResultTrack, to_json

ROUTE = "results"
"""First part of the addresses of result files, relative to the page."""

STOPPED_TEXTS = {
    "steps": "",
    "patience": "The run ended early, because the loss no longer improved.",
    "request": "The run was stopped early; this is its best result so far.",
    "interrupted": "The run was interrupted; this is its best result so far.",
    "non-finite": "The loss became infinite or undefined; this is the best result before that. "
    "Try a smaller learning rate.",
}
SHOWN_TAGS = 4


def render_message(text: str, style: Literal["message", "error"] = "message") -> str:
    """Return one line of text; screen readers read an error out at once."""
    role = "alert" if style == "error" else "status"
    return f'<p class="line {style}" role="{role}">{escape(text)}</p>'


def render_result(result: JobResult, file_name: str) -> str:
    """Return players, spectrograms, downloads and run.json of a job on the recording `file_name`."""
    stem = Path(file_name).stem
    seconds = result.manifest["seconds"]["all"]
    cards = "".join(_card(track, stem) for track in result.tracks)
    notes = [f"{note}." for note in result.manifest.get("input", {}).get("notes", ())]
    texts = [*notes, STOPPED_TEXTS.get(result.stopped, ""), result.note or ""]
    texts.append(f"{file_name} took {seconds:.1f} s.")
    downloads = "".join(
        _download(result.folder / name, f"{stem} {name}", text)
        for name, text in (("all.zip", "all as a zip"), ("run.json", "run.json"))
    )
    return (
        f"{render_message(' '.join(text for text in texts if text))}"
        f'<div class="cards">{cards}</div><p class="downloads">{downloads}</p>'
        f"<details><summary>run.json: all settings and models of this run</summary>"
        f"<pre>{escape(to_json(result.manifest))}</pre></details>"
    )


def _card(track: ResultTrack, stem: str) -> str:
    name = escape(track.name, quote=True)
    sound, picture = (_address(path) for path in (track.path, track.picture))
    return (
        f'<section class="card" data-track="{name}"><h3>{name}</h3>'
        f'<audio controls preload="metadata" src="{sound}" aria-label="{name}"></audio>'
        f'<img src="{picture}" alt="spectrogram of {name}" loading="lazy">'
        f'<p class="tags">{_tags(track.probabilities)}</p>'
        f"{_download(track.path, f'{stem} {track.path.name}', 'download')}</section>"
    )


def _tags(probabilities: Mapping[str, float]) -> str:
    highest = sorted(probabilities.items(), key=lambda item: -item[1])[:SHOWN_TAGS]
    return " ".join(
        f"<span>{escape(short_name(tag))} {probability:.0%}</span>" for tag, probability in highest
    )


def _download(path: Path, name: str, text: str) -> str:
    return f'<a href="{_address(path)}" download="{escape(name, quote=True)}">{escape(text)}</a>'


def _address(path: Path) -> str:
    return f"{ROUTE}/{path.parent.name}/{quote(path.name)}"
