"""The control that takes a recording."""

from pathlib import Path
from typing import Any

import gradio as gr


def song_input(**settings: Any) -> gr.Audio:
    """Gradio's audio control without its habit of fetching addresses: this server asks no other.

    A subclass would say it better, but Gradio writes a stub file beside the source of every subclass.
    """
    control = gr.Audio(sources=["upload", "microphone"], type="filepath", editable=False, **settings)
    usual = control.async_move_resource_to_block_cache

    async def move(url_or_file_path: str | Path | None) -> str | None:
        if "://" in str(url_or_file_path):
            raise gr.Error("that is an address; download the recording first and give the file")
        return await usual(url_or_file_path)

    control.async_move_resource_to_block_cache = move  # type: ignore[method-assign]
    return control
