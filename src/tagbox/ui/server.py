"""The page's server: a private folder, our own routes, and no request to any other machine."""

import logging
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagbox.errors import TagBoxError
from tagbox.ui import gradio_offline
from tagbox.ui.limits import Limits
from tagbox.ui.session_files import SessionFolder
from tagbox.weights import catalogue

if TYPE_CHECKING:
    import gradio
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tagbox.ui.actions import PageContext

GRADIO_MISSING = "the web page needs Gradio; install it with: pip install 'tagbox[ui]'"
CONTENT_SECURITY_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'"
)
"""Lets a browser load from this server only; Gradio's own page refers to others."""

HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
# Gradio's own queue. Jobs wait in the page's `JobQueue`, which shows how many are before one.
REQUESTS_PER_WAITING_JOB = 4


@contextmanager
def serving(
    host: str, port: int, limits: Limits, generators: Mapping[str, Path] | None = None
) -> Iterator[str]:
    """Serve the page until the block ends, and yield its address. All files are removed at the end.

    Args:
        host: address to listen on; "127.0.0.1" is reachable from this machine only.
        port: of the server.
        limits: on recordings and waiting jobs.
        generators: files to offer beside the generators that are installed, by the name to show.

    Raises:
        TagBoxError: Gradio is not installed, or the port is not available.
    """
    with tempfile.TemporaryDirectory(prefix="tagbox-ui-", ignore_cleanup_errors=True) as root:
        folder = SessionFolder(Path(root))
        folder.create()
        gradio_offline.set_environment(folder.uploads)
        try:
            import gradio  # noqa: F401
        except ImportError as error:
            raise TagBoxError(GRADIO_MISSING) from error
        from tagbox.ui.actions import PageContext
        from tagbox.ui.jobs import JobQueue
        from tagbox.ui.songs import SongLibrary, pruned_regularly

        logging.getLogger("httpx").setLevel(logging.WARNING)
        with gradio_offline.no_downloads(), JobQueue(limits.waiting) as queue:
            songs = SongLibrary(folder.songs, queue)
            names = {model.name: model.name for model in catalogue.generators()}
            names |= {name: str(path) for name, path in (generators or {}).items()}
            blocks, address = _launch(host, port, PageContext(folder, limits, songs, names))
            try:
                with pruned_regularly(songs):
                    yield address
            finally:
                songs.cancel_jobs()
                blocks.close(verbose=False)


def serve_until_interrupted(
    host: str, port: int, limits: Limits, generators: Mapping[str, Path] | None = None
) -> Iterator[str]:
    """Yield the address once the page is served, then block until Ctrl-C or SIGTERM.

    Raises:
        TagBoxError: as `serving`.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with serving(host, port, limits, generators) as address:
        yield address
        threading.Event().wait()


def _launch(host: str, port: int, context: "PageContext") -> "tuple[gradio.Blocks, str]":
    """Start the server in a thread of its own; return the page and its address.

    Raises:
        TagBoxError: the port is not available.
    """
    import gradio

    from tagbox.ui import page

    blocks = page.build_page(context)
    blocks.queue(max_size=REQUESTS_PER_WAITING_JOB * context.limits.waiting, api_open=False)
    try:
        _, address, _ = blocks.launch(
            server_name=host,
            server_port=port,
            share=False,
            inline=False,
            quiet=True,
            prevent_thread_lock=True,
            ssr_mode=False,
            show_error=False,
            run_history=False,
            footer_links=[],
            enable_monitoring=False,
            max_file_size=context.limits.megabytes * 1_000_000,
            theme=page.theme(),
            css_paths=[page.STYLE],
            head=f"<script>{page.SCRIPT.read_text(encoding='utf-8')}</script>",
            app_kwargs=_app_options(context),
        )
    except (OSError, gradio.exceptions.Error) as error:
        raise TagBoxError(
            f"the page cannot be served at {host}:{port} ({error}); give another --port"
        ) from error
    return blocks, address


def _app_options(context: "PageContext") -> dict[str, Any]:
    """Return options of the web application: our own routes, headers, and no pages about Gradio's API."""
    from starlette.middleware import Middleware

    from tagbox.ui.api_routes import api_routes
    from tagbox.ui.page import SEPARATION
    from tagbox.ui.web_routes import web_routes

    return {
        "routes": [*web_routes(), *api_routes(context, SEPARATION.presets)],
        "middleware": [Middleware(_SecurityHeaders)],
        "docs_url": None,
        "redoc_url": None,
    }


class _SecurityHeaders:
    """Middleware that adds `HEADERS` to every response."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        await self._app(scope, receive, partial(_send_with_headers, send))


async def _send_with_headers(send: "Send", message: "Message") -> None:
    if message["type"] == "http.response.start":
        message["headers"] = [*message.get("headers", []), *HEADERS]
    await send(message)
