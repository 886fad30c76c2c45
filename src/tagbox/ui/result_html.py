"""A job in the page as HTML: messages, the frame of the mixer, and downloads of the result."""

from html import escape
from typing import Literal

from tagbox.ui.processing import JobResult, to_json

STOPPED_TEXTS = {
    "steps": "",
    "patience": "The run ended early, because the loss no longer improved.",
    "request": "The run was stopped early; this is its best result so far.",
    "interrupted": "The run was interrupted; this is its best result so far.",
    "non-finite": "The loss became infinite or undefined; this is the best result before that. "
    "Try a smaller learning rate.",
}


def render_message(text: str, style: Literal["message", "error"] = "message") -> str:
    """Return one line of text; screen readers read an error out at once."""
    role = "alert" if style == "error" else "status"
    return f'<p class="line {style}" role="{role}">{escape(text)}</p>'


def render_mixer(token: str) -> str:
    """Return the frame of the mixer of a song; the mixer sets its height."""
    address = f"mixer?song={token}"
    return (
        f'<iframe src="{address}" title="Mixer" allow="autoplay"></iframe>'
        f'<p class="downloads"><a href="{address}" target="_blank">the mixer in a window of its own</a></p>'
    )


def render_result(result: JobResult, token: str, file_name: str) -> str:
    """Return notes, downloads and run.json of the song `token`, made of the recording `file_name`."""
    seconds = result.manifest["seconds"]["all"]
    of_input = result.manifest.get("input", {}).get("notes", ())
    notes = [f"{note}." for note in (*of_input, *result.manifest.get("notes", ()))]
    texts = [*notes, STOPPED_TEXTS.get(result.stopped, ""), result.note or ""]
    texts.append(f"{file_name} took {seconds:.1f} s.")
    downloads = "".join(
        f'<a href="api/songs/{token}/{address}" download>{text}</a>'
        for address, text in (("zip", "all as a zip"), ("files/run.json", "run.json"))
    )
    return (
        f"{render_message(' '.join(text for text in texts if text))}"
        f'<p class="downloads">{downloads}</p>'
        f"<details><summary>run.json: all settings and models of this run</summary>"
        f"<pre>{escape(to_json(result.manifest))}</pre></details>"
    )
