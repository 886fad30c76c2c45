"""The gallery's page: HTML and CSS that load nothing from any other server."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from scripts.gallery import files, prose, runs
from scripts.gallery.examples import EXAMPLES, SECONDS, Example
from tagbox.atomic_files import write_atomically

Results = Mapping[str, Mapping[str, Any]]
"""The kept result of each of an example's setups, by the setup's name."""


def write_page(folder: Path) -> int:
    """Write the page of the results in `folder` and remove unused files; return the gallery's size in bytes.

    Raises:
        FileNotFoundError: a result is missing.
    """
    with write_atomically(folder / files.PAGE, force=True) as temporary:
        temporary.write_text(render_page(folder), encoding="utf-8")
    used = set(used_files(EXAMPLES))
    for place in (files.AUDIO, files.PICTURES, files.RUNS):
        for path in sorted((folder / place).iterdir()):
            if f"{place}/{path.name}" not in used:
                path.unlink()
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def used_files(examples: Sequence[Example]) -> list[str]:
    """Return every file that the page refers to, relative to its folder."""
    paths = []
    for example in examples:
        names = [files.track_name(example, None, track) for track in runs.recording_tracks(example)]
        for setup in example.setups:
            names += [files.track_name(example, setup, track) for track in runs.result_tracks(example)]
            paths.append(files.run_path(example, setup))
        paths += [of(name) for name in names for of in (files.audio_path, files.picture_path)]
    return list(dict.fromkeys(paths))


def render_page(folder: Path) -> str:
    """Return the whole page, of the results in `folder`, as HTML.

    Raises:
        FileNotFoundError: a result is missing.
    """
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    contents = "".join(f'<li><a href="#{e.name}">{escape(e.title)}</a></li>' for e in EXAMPLES)
    body = "\n".join(_section(example, _read_results(example, folder)) for example in EXAMPLES)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{prose.TITLE}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<h1>{prose.TITLE}</h1>\n"
        f"{prose.INTRODUCTION}\n<ul>{contents}</ul>\n{body}\n{prose.CLOSING}\n</body>\n</html>\n"
    )


def _section(example: Example, results: Results) -> str:
    """Return one example: its recording, its settings, the figures, and each result."""
    parts = [
        f'<section id="{example.name}">',
        f"<h2>{escape(example.title)}</h2>",
        f'<p class="soft">On the published page: {escape(example.original)}.</p>',
        f"<p>{escape(example.description)} From <code>examples/{example.recording}</code>, "
        f"{example.start:g} to {example.start + SECONDS:g} s.</p>",
        _cards(
            (files.track_name(example, None, track), prose.track_title(track))
            for track in runs.recording_tracks(example)
        ),
        "<h3>Settings</h3>",
        _settings_table(example, results),
        "<h3>Figures</h3>",
        _figures_table(example, results),
    ]
    for setup in example.setups:
        result = results[setup.name]
        parts += [
            f'<article id="{example.name}-{setup.name}">',
            f"<h3><code>{setup.name}</code></h3>",
            f"<p>{escape(setup.description)} {escape(prose.verdict(example, result))}</p>",
            f'<p class="soft">{escape(prose.predictions(example, result))}</p>',
            _cards(
                (files.track_name(example, setup, track), prose.track_title(track, example.tag))
                for track in runs.result_tracks(example)
            ),
            f"<pre><code>{_unbroken(example.command_line(setup))}</code></pre>",
            f'<p class="soft"><a href="{files.run_path(example, setup)}">All settings and figures</a></p>',
            "</article>",
        ]
    return "\n".join([*parts, "</section>"])


def _cards(tracks: Iterable[tuple[str, str]]) -> str:
    """Return players under their spectrograms, side by side where there is room."""
    cards = "\n".join(
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<img src="{files.picture_path(name)}" width="462" height="231" loading="lazy" '
        f'alt="Spectrogram: {escape(title)}">'
        f'<audio controls preload="metadata" src="{files.audio_path(name)}"></audio></figure>'
        for name, title in tracks
    )
    return f'<div class="cards">\n{cards}\n</div>'


def _unbroken(command: str) -> str:
    """Return a command whose lines break between words only, never at an option's hyphens."""
    return " ".join(f"<span>{escape(word)}</span>" for word in command.split(" "))


def _settings_table(example: Example, results: Results) -> str:
    """Return the table of the published page, with the settings of each run here beside it."""
    columns = [prose.setting_rows(example, results[setup.name]) for setup in example.setups]
    head = ["hyperparam", "published page", *(setup.name for setup in example.setups)]
    rows = [[name, value, *(column[name] for column in columns)] for name, value in example.table]
    body = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return _table("settings", head, body)


def _figures_table(example: Example, results: Results) -> str:
    """Return the figures of each run, and those of an empty file and of the reference stem."""
    head, rows = ["run"], []
    if example.stem is not None:
        head += ["SI-SDR before", "after", "improvement", "of the residual", "SDR improvement"]
    if example.flutter:
        head.append("flutter")
    if example.stem is None:
        head.append("SI-SDR against the recording")
    head.append("loss, first to last")
    for setup in example.setups:
        figures = prose.figure_cells(example, results[setup.name])
        cells = [f"<td><code>{setup.name}</code></td>"]
        cells += [f'<td data-figure="{name}">{value}</td>' for name, value in figures.items()]
        rows.append(f'<tr data-run="{example.name}-{setup.name}">{"".join(cells)}</tr>')
    rows += prose.control_rows(example, results)
    return f"{_table('figures', head, chr(10).join(rows))}\n{prose.legend(example)}"


def _table(style: str, head: Sequence[str], body: str) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    return (
        f'<div class="wide"><table class="{style}"><thead><tr>{top}</tr></thead><tbody>\n{body}\n'
        "</tbody></table></div>"
    )


def _read_results(example: Example, folder: Path) -> Results:
    results = {}
    for setup in example.setups:
        result = runs.read_result(example, setup, folder)
        if result is None:
            raise FileNotFoundError(f"{files.run_path(example, setup)} does not exist yet")
        results[setup.name] = result
    return results
