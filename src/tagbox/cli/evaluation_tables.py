"""Print the summary of an evaluation as tables and verdicts."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tagbox.evaluation.reports.content import format_db, format_interval, format_seconds
from tagbox.evaluation.summary import ALL_SOURCES, Summary

MAX_COLUMNS = 8
"""Of sources; the reports have all of them."""
MAX_NAME_CHARACTERS = 24
WIDTH_WITHOUT_TERMINAL = 160
"""Characters."""
STYLES = {"control": "dim", "ceiling": "yellow", "preset": "bold"}
"""By the kind of system."""


def print_summary(summary: Summary) -> None:
    """Print the tables and the verdicts on all sources, for a terminal of a hundred columns."""
    console = Console(highlight=False)
    if not console.is_terminal:
        # A file or a pipe has no window that the tables have to fit into.
        console = Console(highlight=False, width=WIDTH_WITHOUT_TERMINAL)
    console.print(_improvement_table(summary))
    console.print(_overview_table(summary))
    _print_verdicts(console, summary)


def _improvement_table(summary: Summary) -> Table:
    sources = [source for source in summary.sources if source != ALL_SOURCES] or list(summary.sources)
    shown = sources[:MAX_COLUMNS]
    more = f" ({len(sources) - len(shown)} more sources in the reports)" if len(sources) > len(shown) else ""
    table = Table(title=f"SI-SDR improvement, dB{more}", title_justify="left")
    table.add_column("method")
    for source in shown:
        table.add_column(source, justify="right")
    for method in summary.methods:
        rows = [summary.row(source, method) for source in shown]
        cells = [format_db(row.si_sdri.mean) if row and row.si_sdri else "-" for row in rows]
        kinds = [row.kind for row in rows if row]
        table.add_row(_shortened(method), *cells, style=STYLES.get(kinds[0], "") if kinds else "")
    return table


def _overview_table(summary: Summary) -> Table:
    source = summary.sources[-1]
    title = "All sources" if source == ALL_SOURCES else source
    table = Table(title=f"{title}: improvement in dB with its 95 % interval", title_justify="left")
    rows = [row for method in summary.methods if (row := summary.row(source, method)) is not None]
    windows = any(row.window_sdri is not None for row in rows)
    table.add_column("method")
    for name in ("cases", "SI-SDR", "residual", "SDR", *["windows"] * windows, "heard", "s a case"):
        table.add_column(name, justify="right")
    for row in rows:
        cases = f"{row.measured}" + (f" of {row.measured + row.missing}" if row.missing else "")
        heard = (
            f"{row.heard_before:.2f} > {row.heard_after:.2f}"
            if row.heard_before is not None and row.heard_after is not None
            else "-"
        )
        table.add_row(
            _shortened(row.method),
            cases,
            format_interval(row.si_sdri) or "-",
            format_db(row.residual) or "-",
            format_db(row.sdri.mean if row.sdri else None) or "-",
            *[format_db(row.window_sdri) or "-"] * windows,
            heard,
            format_seconds(row.took) or "-",
            style=STYLES.get(row.kind, ""),
        )
    return table


def _print_verdicts(console: Console, summary: Summary) -> None:
    last = summary.sources[-1]
    for verdict in summary.verdicts:
        if verdict.source == last:
            console.print(escape(verdict.words), style="green" if verdict.separates else "", soft_wrap=True)
    by_method: dict[str, list[str]] = {}
    for verdict in summary.verdicts:
        if verdict.source != ALL_SOURCES and verdict.separates:
            by_method.setdefault(verdict.method, []).append(verdict.source)
    for method, won in by_method.items():
        console.print(f"{escape(method)} beats every control on: {', '.join(won)}.", soft_wrap=True)
    if summary.not_measured:
        count = len(summary.not_measured)
        console.print(f"Not measured: {count} line{'s' * (count != 1)} in the reports.", soft_wrap=True)


def _shortened(method: str) -> str:
    return escape(method if len(method) <= MAX_NAME_CHARACTERS else f"{method[: MAX_NAME_CHARACTERS - 1]}…")
