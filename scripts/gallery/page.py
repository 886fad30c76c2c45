"""The gallery's one page: HTML and CSS that ask nothing of any other place."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from scripts.gallery import files, runs, words
from scripts.gallery.examples import EXAMPLES, SECONDS, Example
from tagbox.atomic_files import write_atomically

Results = Mapping[str, Mapping[str, Any]]
"""What is kept of each of an example's runs, by its setup's name."""


def write(folder: Path) -> int:
    """Write the page of what is in `folder`, take away the rest, and return the size in bytes."""
    kept = [(example, _results(example, folder)) for example in EXAMPLES]
    with write_atomically(folder / "index.html", force=True) as beside:
        beside.write_text(render(kept), encoding="utf-8")
    shown = set(files_of(EXAMPLES))
    for place in (files.AUDIO, files.PICTURES, files.RUNS):
        for path in sorted((folder / place).iterdir()):
            if f"{place}/{path.name}" not in shown:
                path.unlink()
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def files_of(examples: Sequence[Example]) -> list[str]:
    """Every file of the gallery but the page, below its folder."""
    names = []
    for example in examples:
        stems = [files.stem(example, None, track) for track in runs.own_tracks(example)]
        for setup in example.setups:
            stems += [files.stem(example, setup, track) for track in runs.tracks_of(example)]
            names.append(files.run_of(example, setup))
        names += [of(stem) for stem in stems for of in (files.audio_of, files.picture_of)]
    return list(dict.fromkeys(names))


def render(kept: Sequence[tuple[Example, Results]]) -> str:
    """The whole page."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    contents = "".join(f'<li><a href="#{e.name}">{escape(e.title)}</a></li>' for e, _ in kept)
    body = "\n".join(section(example, results) for example, results in kept)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{words.TITLE}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<h1>{words.TITLE}</h1>\n"
        f"{words.INTRODUCTION}\n<ul>{contents}</ul>\n{body}\n{words.END}\n</body>\n</html>\n"
    )


def section(example: Example, results: Results) -> str:
    """One example: what it is, its recording, its settings, what was measured, and each result."""
    parts = [
        f'<section id="{example.name}">',
        f"<h2>{escape(example.title)}</h2>",
        f'<p class="soft">On the original page: {escape(example.original)}.</p>',
        f"<p>{escape(example.words)} From <code>examples/{example.recording}</code>, "
        f"{example.start:g} to {example.start + SECONDS:g} s.</p>",
        cards((files.stem(example, None, track), words.track(track)) for track in runs.own_tracks(example)),
        "<h3>Settings</h3>",
        _settings(example, results),
        "<h3>What was measured</h3>",
        _figures(example, results),
    ]
    for setup in example.setups:
        parts += [
            f'<article id="{example.name}-{setup.name}">',
            f"<h3><code>{setup.name}</code></h3>",
            f"<p>{escape(setup.words)} {escape(words.verdict(example, setup, results[setup.name]))}</p>",
            f'<p class="soft">{escape(words.heard(example, results[setup.name]))}</p>',
            cards(
                (files.stem(example, setup, track), words.track(track, example.tag))
                for track in runs.tracks_of(example)
            ),
            f"<pre><code>{_unbroken(example.shell(setup))}</code></pre>",
            f'<p class="soft"><a href="{files.run_of(example, setup)}">All settings and figures</a></p>',
            "</article>",
        ]
    return "\n".join([*parts, "</section>"])


def cards(tracks: Iterable[tuple[str, str]]) -> str:
    """Players under their spectrograms, side by side where there is room."""
    made = "\n".join(
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<img src="{files.picture_of(name)}" width="462" height="231" loading="lazy" '
        f'alt="Spectrogram: {escape(title)}">'
        f'<audio controls preload="metadata" src="{files.audio_of(name)}"></audio></figure>'
        for name, title in tracks
    )
    return f'<div class="cards">\n{made}\n</div>'


def _unbroken(command: str) -> str:
    """A command that breaks between words alone, never at an option's hyphens."""
    return " ".join(f"<span>{escape(word)}</span>" for word in command.split(" "))


def _settings(example: Example, results: Results) -> str:
    """The original page's table, with what each run here really had beside it."""
    ours = [words.settings(example, results[setup.name]) for setup in example.setups]
    head = ["hyperparam", "original page", *(setup.name for setup in example.setups)]
    rows = [[name, value, *(column[name] for column in ours)] for name, value in example.table]
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table class="settings"><thead><tr>{top}</tr></thead><tbody>\n{body}\n'
        "</tbody></table></div>"
    )


def _figures(example: Example, results: Results) -> str:
    head, rows = ["run"], []
    if example.stem is not None:
        head += ["SI-SDR before", "after", "improvement", "of the residual", "SDR improvement"]
    if example.flutter:
        head.append("flutter")
    if example.stem is None:
        head.append("SI-SDR against the recording")
    head.append("loss, first to last")
    for setup in example.setups:
        found = words.figures(example, results[setup.name])
        cells = [f"<td><code>{setup.name}</code></td>"]
        cells += [f'<td data-figure="{name}">{value}</td>' for name, value in found.items()]
        rows.append(f'<tr data-run="{example.name}-{setup.name}">{"".join(cells)}</tr>')
    rows += words.controls(example, results)
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "\n".join(rows)
    return (
        f'<div class="wide"><table class="figures"><thead><tr>{top}</tr></thead><tbody>\n{body}\n'
        f"</tbody></table></div>\n{words.legend(example)}"
    )


def _results(example: Example, folder: Path) -> Results:
    found = {}
    for setup in example.setups:
        kept = runs.read(example, setup, folder)
        if kept is None:
            raise FileNotFoundError(f"{files.run_of(example, setup)} is not there yet")
        found[setup.name] = kept
    return found
