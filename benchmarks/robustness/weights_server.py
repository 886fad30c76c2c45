"""A server of weights for tests, well-behaved or not, and an observer of downloads."""

import contextlib
import http.server
import re
import threading
import time


class Server:
    """An HTTP server on localhost; the folder of an address says how the server treats the file.

    good, no-range, broken (closes the connection after `breaks_after` bytes of each answer), stuck (the same,
    without ranges), html, html-as-data, busy (503 twice, then good), slow (64 KiB at a time, with pauses).

    Attributes:
        files: content by name.
        asked: folder and range of each request.
        breaks_after: bytes.
        pause: of "slow", seconds.
    """

    def __init__(self) -> None:
        self.reset()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                outer.answer(self)

        class Http(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Ignore clients that disconnect."""

        self._http = Http(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def reset(self) -> None:
        """Forget all files and requests."""
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.breaks_after = 400_000
        self.pause = 0.05

    def close(self) -> None:
        """Stop the server."""
        self._http.shutdown()
        self._http.server_close()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """Answer a GET request."""
        how, _, name = request.path.lstrip("/").partition("/")
        span = request.headers.get("Range")
        self.asked.append((how, span))
        if how == "html":
            return self._send(
                request, 200, b"<html><body>Please log in</body></html>", "text/html; charset=utf-8"
            )
        if how == "html-as-data":
            return self._send(request, 200, b"\n<!DOCTYPE html><html>Please log in</html>")
        if how == "busy" and len(self.asked) < 3:
            return self._send(request, 503, b"later")
        body = self.files.get(name)
        if body is None:
            return self._send(request, 404, b"no such file")
        first, code = 0, 200
        range_ = re.fullmatch(r"bytes=(\d+)-", span) if span else None
        if range_ is not None and how not in ("no-range", "stuck"):
            first, code = int(range_[1]), 206
            if first >= len(body):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(body)}")
                request.send_header("Content-Length", "0")
                request.end_headers()
                return None
        request.send_response(code)
        request.send_header("Content-Type", "application/octet-stream")
        request.send_header("Content-Length", str(len(body) - first))
        if code == 206:
            request.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        request.end_headers()
        rest = body[first:]
        with contextlib.suppress(ConnectionError):
            if how in ("broken", "stuck"):
                request.wfile.write(rest[: self.breaks_after])
                request.close_connection = True
            elif how == "slow":
                for i in range(0, len(rest), 65536):
                    request.wfile.write(rest[i : i + 65536])
                    time.sleep(self.pause)
            else:
                request.wfile.write(rest)
        return None

    @staticmethod
    def _send(
        request: http.server.BaseHTTPRequestHandler,
        code: int,
        body: bytes,
        kind: str = "application/octet-stream",
    ) -> None:
        request.send_response(code)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


class Recorder:
    """An observer that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.progress: list[tuple[int, int | None]] = []

    def on_progress(self, done: int, total: int | None) -> None:
        self.progress.append((done, total))

    def on_message(self, text: str) -> None:
        self.messages.append(text)
