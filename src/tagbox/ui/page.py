"""The whole page: its tabs and its looks."""

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from tagbox.tags.query import UNION
from tagbox.ui import processing
from tagbox.ui.actions import PageContext, TabSpec
from tagbox.ui.examples import separation_examples, transfer_examples
from tagbox.ui.tab import build_tab

TITLE = "TagBox"
HEADING = "# TagBox\nSeparate an instrument from a recording by its name."
CLEANUP_INTERVAL_SECONDS = 600
MAX_FILE_AGE_SECONDS = 6 * 3600
STYLE = Path(__file__).parent / "page.css"
SCRIPT = Path(__file__).parent / "page.js"
# Fonts that every system has: the page loads none from another server.
FONT = ("system-ui", "sans-serif")
MONOSPACE_FONT = ("ui-monospace", "monospace")


def one_target(words: Sequence[str]) -> tuple[str, ...]:
    """Return a single query that means all of `words`; none where there are no words."""
    return (UNION.join(words),) if words else ()


SEPARATION = TabSpec(
    name="Separate",
    description="You get one file for each word, and a residual with everything else; together they add up "
    "to the recording.",
    words_label="Detected instruments and voices: choose what to separate",
    process=processing.process_separation,
    presets=("default", "best", "fast", "components", "steered", "paper", "published-code"),
    examples=separation_examples(),
)
TRANSFER = TabSpec(
    name="Style transfer",
    description="A generator re-synthesises the recording, steered towards the words. Expect artefacts: the "
    "authors of the method compare the sound to a recording made in a snowstorm.",
    words_label="Detected instruments and voices: choose what to steer towards",
    process=processing.process_transfer,
    presets=("transfer",),
    examples=transfer_examples(),
    queries_of=one_target,
)


def theme() -> gr.themes.Base:
    """Return Gradio's default theme with the system's fonts."""
    return gr.themes.Default(font=FONT, font_mono=MONOSPACE_FONT, primary_hue="orange")


def build_page(context: PageContext) -> gr.Blocks:
    """Build the page. Uploads are removed when their page is closed, or else after `MAX_FILE_AGE_SECONDS`."""
    blocks = gr.Blocks(
        title=TITLE,
        analytics_enabled=False,
        delete_cache=(CLEANUP_INTERVAL_SECONDS, MAX_FILE_AGE_SECONDS),
    )
    with blocks:
        gr.Markdown(HEADING)
        for spec in (SEPARATION, TRANSFER):
            with gr.Tab(spec.name, elem_id=f"{spec.key}-tab"):
                build_tab(spec, context)
        with gr.Tab("Several recordings", elem_id="songs-tab"):
            gr.HTML('<iframe src="songs" title="Several recordings"></iframe>', elem_classes="mixer")
        blocks.unload(context.close_page)
    return blocks
