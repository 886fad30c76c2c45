"""Render the report as one HTML file that loads nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, get_args

from tagbox.evaluation.case import Record
from tagbox.evaluation.reports import content, plots
from tagbox.evaluation.reports.audio_players import render_players
from tagbox.evaluation.summary import Summary
from tagbox.evaluation.systems import SystemKind

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #68707a; --paper: #fdfdfb; --rule: #dfe2e6;
  --control: #8a9099; --ceiling: #b58a2b; --baseline: #2f7d6b; --estimates: #8a4fb0; --preset: #2563b8;
  --yes: #1d7f43; --no: #a33b2f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e4; --soft: #a0a7b0; --paper: #16181b;
  --rule: #33373d;
  --control: #8f969f; --ceiling: #d3a94a; --baseline: #54b39d; --estimates: #b98ad9; --preset: #6ea3ee;
  --yes: #5fc487; --no: #e08377; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--rule); }
h3 { margin: 1.6rem 0 .4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--rule); }
.wide td { white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; } td:first-child, th:first-child { text-align: left; }
ul.verdicts { list-style: none; padding: 0; } ul.verdicts li { margin: .35rem 0 .35rem 3.2rem; }
ul.verdicts b { float: left; margin-left: -3.2rem; } .yes { color: var(--yes); } .no { color: var(--no); }
.open { color: var(--soft); }
dt { font-weight: 600; } dd { margin: 0 0 .5rem 1.2rem; overflow-wrap: anywhere; }
.note, dd { color: var(--soft); } audio { height: 2rem; vertical-align: middle; }
svg { max-width: 100%; height: auto; display: block; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .small { fill: var(--soft); font-size: 11px; }
svg .grid { stroke: var(--rule); } svg .zero { stroke: var(--ink); stroke-dasharray: 3 3; }
svg .faint { opacity: .45; } svg .interval { stroke-width: 2; } svg .mean { stroke-width: 3; }
""" + "\n".join(
    f"svg .{kind} {{ fill: var(--{kind}); stroke: var(--{kind}); }}" for kind in get_args(SystemKind)
)


def render_html(request: Mapping[str, Any], records: Sequence[Record], summary: Summary, folder: Path) -> str:
    """Render the page.

    Args:
        request: as run.json has it.
        records: in the order of the plan.
        summary: of the records.
        folder: that audio is read from.
    """
    title = escape(content.report_title(request))
    parts = [f"<h1>{title}</h1>"]
    parts += [f"<p>{escape(text)}</p>" for text in (content.ABOUT_SI_SDR, content.ABOUT_CONTROLS)]
    parts += ["<h2>Does it separate?</h2>", _render_verdicts(summary)]
    parts += ["<h2>SI-SDR improvement, dB</h2>", _render_table(*content.overview_table(summary))]
    parts.append(f'<p class="note">{escape(content.ABOUT_CEILING)} {escape(content.ABOUT_JUDGE)}</p>')
    for source in summary.sources:
        parts.append(f"<h3>{escape(source)}</h3>")
        parts.append(plots.plot_improvements(source, records, summary))
        parts.append(_render_table(*content.source_table(summary, source)))
    loss_plot = plots.plot_losses(records)
    if loss_plot:
        parts += ["<h2>Loss and separation</h2>", loss_plot, _render_list(plots.loss_correlations(records))]
    time_plot = plots.plot_times(records)
    if time_plot:
        parts += ["<h2>Time</h2>", time_plot]
    players = render_players(records, folder)
    if players:
        parts += ["<h2>Hear it</h2>", *players]
    unmeasured = content.unmeasured_lines(request, summary)
    if unmeasured:
        parts += ["<h2>Not measured</h2>", _render_list(unmeasured)]
    if summary.notes:
        parts += ["<h2>Files that are not as they say</h2>", _render_list(summary.notes)]
    parts.append("<h2>How it was made</h2>")
    parts += [_render_pairs(content.run_facts(request)), _render_pairs(content.system_settings(request))]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _render_verdicts(summary: Summary) -> str:
    items = [
        f'<li><b class="{answer}">{answer}</b>{escape(sentence)}</li>'
        for answer, sentence in content.verdict_lines(summary)
    ]
    if not items:
        return "<p>Only controls were evaluated.</p>"
    return f'<ul class="verdicts">{"".join(items)}</ul>'


def _render_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _render_list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _render_pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in pairs)}</dl>"
