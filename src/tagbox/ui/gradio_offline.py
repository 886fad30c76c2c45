"""Gradio without its ways out: this server asks no other for anything."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FETCHERS = ("async_ssrf_protected_download", "ssrf_protected_download")


def prepare(uploads: Path) -> None:
    """Switch off what tells on people, and name the folder of uploads; Gradio reads this at its import."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    # Gradio looks whether it is there at all: by the loopback, which no proxy can see.
    for name in ("no_proxy", "NO_PROXY"):
        others = [part for part in os.environ.get(name, "").split(",") if part]
        os.environ[name] = ",".join(dict.fromkeys([*others, "localhost", "127.0.0.1"]))


@contextmanager
def no_fetching() -> Iterator[None]:
    """Refuse addresses where files belong; Gradio would fetch them, for any of its controls."""
    from gradio import Error, processing_utils

    def refuse(*_: Any, **__: Any) -> Any:
        raise Error("that is an address; download the recording first and give the file")

    usual = {name: getattr(processing_utils, name) for name in FETCHERS}
    for name in FETCHERS:
        setattr(processing_utils, name, refuse)
    try:
        yield
    finally:
        for name, function in usual.items():
            setattr(processing_utils, name, function)
