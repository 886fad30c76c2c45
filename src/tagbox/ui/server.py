"""The server of the page: private folder, routes for results, and nothing that leaves this machine."""

import logging
import signal
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tagbox.errors import TagBoxError
from tagbox.ui import gradio_offline
from tagbox.ui.limits import Limits
from tagbox.ui.session_files import Folder

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

NEEDED = "the web page needs Gradio; install it with: pip install 'tagbox[ui]'"
POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'"
)
"""What a browser is to load: what comes from here. Gradio's own page asks for more."""


@contextmanager
def serving(
    host: str, port: int, limits: Limits, generators: Mapping[str, Path] | None = None
) -> Iterator[str]:
    """Serve the page until the block ends; yields its address. All files go with it.

    Args:
        host: whom to listen to; "127.0.0.1" is this machine alone.
        port: of the server.
        limits: of recordings.
        generators: files to offer beside the embedded generator and Jukebox, by the name to show.

    Raises:
        TagBoxError: Gradio is not installed, or the port cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="tagbox-ui-", ignore_cleanup_errors=True) as root:
        folder = Folder(Path(root))
        folder.prepare()
        gradio_offline.prepare(folder.uploads)
        try:
            import gradio
        except ImportError as error:
            raise TagBoxError(NEEDED) from error
        from starlette.middleware import Middleware
        from starlette.routing import Route

        from tagbox.ui import page
        from tagbox.ui.actions import PageContext
        from tagbox.ui.jobs import JobQueue
        from tagbox.ui.result_html import ADDRESS

        logging.getLogger("httpx").setLevel(logging.WARNING)
        with gradio_offline.no_fetching(), JobQueue(limits.waiting) as turns:
            offered = {name: name for name in ("embedded", "jukebox")}
            offered |= {name: str(path) for name, path in (generators or {}).items()}
            blocks = page.build(PageContext(folder, limits, turns, offered))
            # Runs wait in our own line, where a page sees how many are before it.
            blocks.queue(max_size=4 * limits.waiting, api_open=False)
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
                    max_file_size=limits.megabytes * 1_000_000,
                    theme=page.theme(),
                    css_paths=[page.STYLE],
                    app_kwargs={
                        "routes": [Route(f"/{ADDRESS}/{{token}}/{{name}}", _giving(folder))],
                        "middleware": [Middleware(_Headers)],
                        "docs_url": None,
                        "redoc_url": None,
                    },
                )
            except (OSError, gradio.exceptions.Error) as error:
                raise TagBoxError(
                    f"the page cannot be served at {host}:{port} ({error}); give another --port"
                ) from error
            try:
                yield address
            finally:
                folder.close()
                blocks.close(verbose=False)


def serve(
    host: str, port: int, limits: Limits, generators: Mapping[str, Path] | None = None
) -> Iterator[str]:
    """Yield the address once the page is there, then block until Ctrl-C or a request to end (SIGTERM)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with serving(host, port, limits, generators) as address:
        yield address
        threading.Event().wait()


def _giving(folder: Folder) -> "Callable[[Request], Awaitable[Response]]":
    from starlette.responses import FileResponse, PlainTextResponse

    async def give(request: "Request") -> "Response":
        path = folder.result(request.path_params["token"], request.path_params["name"])
        if path is None:
            return PlainTextResponse("there is no such result", status_code=404)
        return FileResponse(path, headers={"Cache-Control": "private, no-store"})

    return give


class _Headers:
    """Adds to every answer what a browser is to refrain from."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def sending(message: "Message") -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        await self._app(scope, receive, sending)
