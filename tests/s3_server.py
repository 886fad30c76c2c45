"""A server of S3 on this machine, as a program of its own: moto's, which keeps everything in memory.

    python s3_server.py FOLDER

prints its port, and serves until standard input ends. FOLDER/requests.txt gets a line for each request, such
as "GET /bucket/song.wav". Those that match one of the regular expressions, a line each, of FOLDER/denied.txt
are denied.
"""

import contextlib
import os
import re
import select
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 600.0
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class S3Server:
    """A server that runs.

    Attributes:
        environment: by which its clients find it.

    Args:
        port: of it.
        folder: as above.
    """

    def __init__(self, port: int, folder: Path) -> None:
        self._folder = folder
        self._url = f"http://127.0.0.1:{port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self._url,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            # Nothing of whoever runs the tests is read, and nobody else is asked.
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }

    def make_bucket(self, name: str) -> None:
        """Make a bucket that is empty."""
        self._put(name, b"")

    def put(self, name: str, data: bytes) -> None:
        """Write a file, such as bucket/folder/song.wav."""
        self._put(name, data)

    def requests(self) -> list[str]:
        """Return all requests so far."""
        return (self._folder / "requests.txt").read_text().splitlines()

    @contextlib.contextmanager
    def denying(self, pattern: str) -> Iterator[None]:
        """Deny, in the block, requests that match `pattern` from their beginning."""
        (self._folder / "denied.txt").write_text(pattern)
        try:
            yield
        finally:
            (self._folder / "denied.txt").write_text("")

    def _put(self, name: str, data: bytes) -> None:
        headers = {"Content-Type": "application/octet-stream", "Authorization": "AWS somebody:anything"}
        request = urllib.request.Request(f"{self._url}/{name}", data, headers, method="PUT")
        # No proxy of whoever runs the tests is to be asked.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=START_SECONDS) as answer:
            assert answer.status == 200


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run a server for the block; `folder` is an empty one."""
    for name in ("requests.txt", "denied.txt"):
        (folder / name).touch()
    with (folder / "errors.txt").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert select.select([process.stdout], [], [], START_SECONDS)[0], "moto does not start"
        port = process.stdout.readline().strip()
        assert port, (folder / "errors.txt").read_text()
        yield S3Server(int(port), folder)
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


def main(folder: Path) -> None:
    """Serve until standard input ends."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    serve = DomainDispatcherApplication(create_backend_app)

    def application(environment: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        asked = f"{environment['REQUEST_METHOD']} {environment['PATH_INFO']}"
        with (folder / "requests.txt").open("a") as log:
            log.write(asked + "\n")
        patterns = (folder / "denied.txt").read_text().splitlines()
        if any(re.match(pattern, asked) for pattern in patterns):
            environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
            # An answer to HEAD has no content: it would be taken for the beginning of the next answer.
            content = b"" if environment["REQUEST_METHOD"] == "HEAD" else DENIED
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))]
            start_response("403 Forbidden", headers)
            return [content]
        answer: Iterable[bytes] = serve(environment, start_response)
        return answer

    server = make_server("127.0.0.1", 0, application, threaded=True)
    print(server.port, flush=True)

    import threading

    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
