"""HTML of what came out: a card with a player, a picture and a download for each track."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from urllib.parse import quote

from tagbox.tags.resolve import short
from tagbox.ui.tasks import Outcome, Track, as_text

ADDRESS = "results"
WHY = {
    "steps": "",
    "patience": "It stopped early, since nothing improved any more.",
    "request": "It was stopped early; this is the best until then.",
    "interrupted": "It was interrupted; this is the best until then.",
    "non-finite": "The loss was no finite number any more; this is the best until then. Try a smaller rate.",
}
LOUDEST = 4


def line(words: str, kind: str = "told") -> str:
    """One line for people; `kind` "wrong" is read out by screen readers at once."""
    role = "alert" if kind == "wrong" else "status"
    return f'<p class="line {kind}" role="{role}">{escape(words)}</p>'


def results(outcome: Outcome, song: str) -> str:
    """Players, spectrograms, downloads and run.json of a run over the recording called `song`."""
    stem = Path(song).stem
    seconds = outcome.manifest["seconds"]["all"]
    cards = "".join(_card(track, stem) for track in outcome.tracks)
    told = [WHY.get(outcome.stopped, ""), (outcome.note or ""), f"{song} took {seconds:.0f} s."]
    files = "".join(
        _download(outcome.folder / name, f"{stem} {name}", what)
        for name, what in (("all.zip", "all as a zip"), ("run.json", "run.json"))
    )
    return (
        f"{line(' '.join(part for part in told if part))}"
        f'<div class="cards">{cards}</div><p class="downloads">{files}</p>'
        f"<details><summary>run.json: how it was made</summary>"
        f"<pre>{escape(as_text(outcome.manifest))}</pre></details>"
    )


def _card(track: Track, stem: str) -> str:
    name = escape(track.name, quote=True)
    sound, picture = (_address(path) for path in (track.path, track.picture))
    return (
        f'<section class="card" data-track="{name}"><h3>{name}</h3>'
        f'<audio controls preload="metadata" src="{sound}" aria-label="{name}"></audio>'
        f'<img src="{picture}" alt="spectrogram of {name}" loading="lazy">'
        f'<p class="heard">{_heard(track.heard)}</p>'
        f"{_download(track.path, f'{stem} {track.path.name}', 'download')}</section>"
    )


def _heard(heard: Mapping[str, float]) -> str:
    loudest = sorted(heard.items(), key=lambda item: -item[1])[:LOUDEST]
    return " ".join(f"<span>{escape(short(tag))} {share:.0%}</span>" for tag, share in loudest)


def _download(path: Path, name: str, words: str) -> str:
    return f'<a href="{_address(path)}" download="{escape(name, quote=True)}">{escape(words)}</a>'


def _address(path: Path) -> str:
    """Where the server gives a file of results, relative to the page."""
    return f"{ADDRESS}/{path.parent.name}/{quote(path.name)}"
