"""Keep Gradio offline: the page's server sends no request to any other machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FETCHERS = ("async_ssrf_protected_download", "ssrf_protected_download")
"""Functions of `gradio.processing_utils` that download an address given in place of a file."""


def set_environment(uploads: Path) -> None:
    """Turn telemetry off and make `uploads` the folder of uploaded files; call before Gradio is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    # At its start Gradio requests its own address; through a proxy that request would fail.
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(dict.fromkeys([*hosts, "localhost", "127.0.0.1"]))


@contextmanager
def no_downloads() -> Iterator[None]:
    """Refuse addresses in place of files while the block lasts; Gradio would download them."""
    from gradio import processing_utils

    originals = {name: getattr(processing_utils, name) for name in FETCHERS}
    for name in FETCHERS:
        setattr(processing_utils, name, _refuse_address)
    try:
        yield
    finally:
        for name, function in originals.items():
            setattr(processing_utils, name, function)


def _refuse_address(*_: Any, **__: Any) -> Any:
    from gradio import Error

    raise Error("that is an address; download the recording first and give the file")
