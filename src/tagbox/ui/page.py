"""The whole page: two tabs, and how it looks."""

from pathlib import Path

import gradio as gr

from tagbox.tags.query import UNION
from tagbox.ui import gallery, tab, tasks
from tagbox.ui.actions import PageContext, TabSpec

TITLE = "TagBox"
HEADING = "# TagBox\nName an instrument, get it out of a recording."
SWEEP_SECONDS = 600
OLDEST_SECONDS = 6 * 3600
STYLE = Path(__file__).parent / "page.css"
# Fonts that every machine has: the page asks no other server for any.
FONT = ("system-ui", "sans-serif")
MONO = ("ui-monospace", "monospace")

SEPARATION = TabSpec(
    name="Separate",
    about="Each word becomes a file, and what is left becomes another: together they are the recording.",
    asks="Heard in it: take out",
    task=tasks.separate,
    presets=("default", "paper", "published-code"),
    examples=tuple(gallery.separations()),
)
TRANSFER = TabSpec(
    name="Style transfer",
    about="A generator plays the recording towards the words. Expect artefacts: its authors compare the "
    "sound to a recording made in a snowstorm.",
    asks="Heard in it: turn it towards",
    task=tasks.transfer,
    presets=("transfer",),
    examples=tuple(gallery.transfers()),
    goals=lambda words: (UNION.join(words),) if words else (),
)


def theme() -> gr.themes.Base:
    """Gradio's plain theme with the system's fonts."""
    return gr.themes.Default(font=FONT, font_mono=MONO, primary_hue="orange")


def build(house: PageContext) -> gr.Blocks:
    """The page; its files are swept away in time, and at once when a page is closed."""
    blocks = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(SWEEP_SECONDS, OLDEST_SECONDS))
    with blocks:
        gr.Markdown(HEADING)
        for kind in (SEPARATION, TRANSFER):
            with gr.Tab(kind.name, elem_id=f"{kind.key}-tab"):
                tab.build(kind, house)

        def leave(request: gr.Request) -> None:
            house.folder.leave(str(request.session_hash))

        blocks.unload(leave)
    return blocks
