"""Pages of our own beside Gradio's, with their scripts and styles: plain files, without a build step."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

WEB = Path(__file__).parent / "web"
PAGES = ("mixer", "songs")
REVALIDATED = {"Cache-Control": "no-cache"}


def web_routes() -> list[BaseRoute]:
    """Return routes of the pages, as in /mixer, and of their files, as in /web/player.js."""
    pages: list[BaseRoute] = [Route(f"/{name}", _send_page) for name in PAGES]
    return [*pages, Mount("/web", StaticFiles(directory=WEB))]


async def _send_page(request: Request) -> Response:
    return FileResponse(WEB / f"{request.url.path.rpartition('/')[2]}.html", headers=REVALIDATED)
