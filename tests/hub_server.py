"""A server on localhost that answers as the Hugging Face hub does, for the requests that loading takes."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """What the server holds, and what it was asked for.

    Attributes:
        files: by repository and commit, the content of each file.
        branches: by repository and name, the commit.
        gated: repositories that answer 403, and those that answer 401.
        pull_requests: by repository and number, title and status of each of the converter's.
        cut_after: bytes after which the next transfer of a longer file breaks off, once.
        requests: method and path of each request.
        ranges: the Range header of each request that had one.
    """

    files: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    branches: dict[tuple[str, str], str] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    pull_requests: dict[str, dict[int, tuple[str, str]]] = field(default_factory=dict)
    cut_after: int | None = None
    requests: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    address: str = ""

    def publish(self, repository: str, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Make a commit of `files`, and return its name."""
        content = json.dumps({name: hashlib.sha256(blob).hexdigest() for name, blob in sorted(files.items())})
        commit = hashlib.sha1((repository + content).encode(), usedforsecurity=False).hexdigest()
        self.files[repository, commit] = dict(files)
        self.branches[repository, branch] = commit
        return commit


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve an empty hub."""
    hub = Hub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def _answer(self, has_body: bool) -> None:
        path = urlsplit(self.path).path.strip("/")
        self.hub.requests.append(f"{self.command} {unquote(path)}")
        # A revision may hold slashes, which are quoted.
        parts = [unquote(part) for part in path.split("/")]
        if parts[:2] == ["api", "models"] and parts[4:] == ["discussions"]:
            self._answer_with_pull_requests("/".join(parts[2:4]))
        elif parts[:2] == ["api", "models"]:
            self._answer_about("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main", parts[4:5])
        elif len(parts) > 4 and parts[2] == "resolve":
            self._send_file("/".join(parts[:2]), parts[3], "/".join(parts[4:]), has_body)
        else:
            self._refuse(404, "RepoNotFound")

    def _commit(self, repository: str, revision: str) -> str | None:
        """Return the commit, or send what is wrong."""
        if repository in self.hub.refusals:
            code = self.hub.refusals[repository]
            self._refuse(code, "GatedRepo" if code == 403 else "RepoNotFound")
            return None
        if not any(name == repository for name, _ in self.hub.files):
            self._refuse(401, "RepoNotFound")
            return None
        commit = self.hub.branches.get((repository, revision), revision)
        if (repository, commit) not in self.hub.files:
            self._refuse(404, "RevisionNotFound")
            return None
        return commit

    def _answer_with_pull_requests(self, repository: str) -> None:
        found = [
            {
                "title": title,
                "num": number,
                "author": {"name": "SFconvertbot"},
                "createdAt": "2024-04-02T10:00:00.000Z",
                "status": status,
                "repo": {"name": repository, "type": "model"},
                "isPullRequest": True,
            }
            for number, (title, status) in self.hub.pull_requests.get(repository, {}).items()
        ]
        self._send_json({"discussions": found, "count": len(found), "start": 0})

    def _answer_about(self, repository: str, revision: str, kind: list[str]) -> None:
        commit = self._commit(repository, revision)
        if commit is None:
            return
        names = sorted(self.hub.files[repository, commit])
        self._send_json(
            {"id": repository, "sha": commit, "siblings": [{"rfilename": name} for name in names]}
        )

    def _send_json(self, content: Mapping[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_file(self, repository: str, revision: str, name: str, has_body: bool) -> None:
        commit = self._commit(repository, revision)
        if commit is None:
            return
        blob = self.hub.files[repository, commit].get(name)
        if blob is None:
            self._refuse(404, "EntryNotFound", commit)
            return
        start, asked = 0, self.headers.get("Range")
        if asked is not None and has_body:
            self.hub.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(blob).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(blob) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(blob) - 1}/{len(blob)}")
        self.end_headers()
        if has_body:
            cut = self.hub.cut_after
            if cut is not None and len(blob) > cut:
                self.hub.cut_after = None
                self.wfile.write(blob[start : start + cut])
                self.close_connection = True
                return
            self.wfile.write(blob[start:])

    def _refuse(self, code: int, error: str, commit: str = "") -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", error)
        self.send_header("X-Error-Message", error)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()
