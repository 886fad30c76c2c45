"""Download files over unreliable connections: what has arrived stays on disk, and the next attempt resumes.

pooch, used elsewhere, restarts a broken download from the beginning, so this is a loop of our own on top of
`requests`, which pooch uses as well. Whether the bytes are the right ones is checked in
`tagbox.weights.verification`.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

from tagbox.errors import FailedWriteError, MissingWeightsError, TagBoxError

if TYPE_CHECKING:
    from requests import Response

CHUNK_BYTES = 1 << 14
"""A broken connection loses this much at most."""
MAX_BYTES = 1 << 30
"""No published weights are nearly as large; a server that never ends must not fill the disk."""


class DownloadObserver(Protocol):
    """Receives the progress of a download."""

    def on_progress(self, done: int, total: int | None) -> None:
        """Take the number of bytes that have arrived, and of all, where the server states it."""

    def on_message(self, text: str) -> None:
        """Take a sentence for people."""


class BrokenConnectionError(Exception):
    """The connection ended, or the server was too busy; another attempt may succeed."""


class UnreachableError(BrokenConnectionError):
    """The server could not be connected to at all."""


@dataclass(frozen=True)
class RetryPolicy:
    """When to try again, and when to give up.

    Attributes:
        max_attempts: how many in a row may bring nothing new.
        pause_seconds: before the second attempt; doubles with each.
        timeout_seconds: without a byte, after which a connection counts as broken.
    """

    max_attempts: int = 5
    pause_seconds: float = 1.0
    timeout_seconds: float = 30.0


def mirrored(url: str) -> str:
    """Return `url` on the mirror that TAGBOX_MIRROR names (``http://host/folder``), if it names one.

    Raises:
        TagBoxError: TAGBOX_MIRROR is not an address.
    """
    mirror = os.environ.get("TAGBOX_MIRROR", "").rstrip("/")
    if not mirror:
        return url
    base, rest = urlsplit(mirror), urlsplit(url)
    if base.scheme not in ("http", "https") or not base.netloc:
        raise TagBoxError(f"TAGBOX_MIRROR is {mirror!r}; give an address such as https://host/folder")
    return urlunsplit((base.scheme, base.netloc, base.path + rest.path, rest.query, ""))


def download(
    url: str, part: Path, observer: DownloadObserver, retry_policy: RetryPolicy | None = None
) -> None:
    """Download all of `url` into `part`; resume after what `part` holds already.

    Raises:
        MissingWeightsError: the server refuses, sends a web page, or the connection breaks too often.
        FailedWriteError: `part` cannot be written.
    """
    retry_policy = retry_policy or RetryPolicy()
    failures = 0
    reached = False
    while True:
        before = _size(part)
        try:
            _attempt(url, part, observer, retry_policy.timeout_seconds)
            return
        except BrokenConnectionError as error:
            reached = reached or not isinstance(error, UnreachableError)
            failures = failures + 1 if _size(part) <= before else 1
            # A network that was there may return within seconds; one that never was will not.
            if failures >= retry_policy.max_attempts or not reached:
                resume = "; run it again to go on where it stopped" if _size(part) else ""
                raise MissingWeightsError(f"cannot get {url}: {error}{resume}") from error
            observer.on_message(f"{error}; trying again")
            time.sleep(retry_policy.pause_seconds * 2 ** (failures - 1))


def _attempt(url: str, part: Path, observer: DownloadObserver, timeout_seconds: float) -> None:
    import requests

    present = _size(part)
    # With compression the bytes on the wire would not count those in the file.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={present}-"} if present else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout_seconds) as response:
            if response.status_code == 416:
                # Nothing lies beyond what is here: it is all of the file, or more; the checksum decides.
                if _total_bytes(response) == present:
                    return
                part.unlink()
                raise BrokenConnectionError("what had arrived was longer than the file")
            _check_status(url, response)
            resumed = response.status_code == 206 and _first_byte(response) == present
            if response.status_code == 206 and not resumed:
                part.unlink(missing_ok=True)
                raise BrokenConnectionError("the server sent another part than was asked for")
            total = _total_bytes(response)
            done = _write(part, present if resumed else 0, total, response, observer)
            if total is not None and done < total:
                raise BrokenConnectionError(f"the connection ended after {done} of {total} bytes")
    except requests.exceptions.RequestException as error:
        if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
            raise MissingWeightsError(
                f"{url!r} is not an address; give one such as https://host/file"
            ) from error
        raise _broken_connection(error) from error


def _write(
    part: Path, present: int, total: int | None, response: "Response", observer: DownloadObserver
) -> int:
    """Append a response's body to the first `present` bytes of `part`; return the size of the file."""
    import requests

    done = present
    try:
        with part.open("ab" if present else "wb") as file:
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                if done > MAX_BYTES:
                    raise MissingWeightsError(
                        f"{response.url} sends more than {MAX_BYTES >> 20} MB; it is not weights"
                    )
                observer.on_progress(done, total)
    except requests.exceptions.RequestException:
        raise
    except OSError as error:
        raise FailedWriteError(
            f"cannot write {part} ({error.strerror}); make room, or set TAGBOX_HOME"
        ) from error
    return done


def _check_status(url: str, response: "Response") -> None:
    """Check a response's status and type.

    Raises:
        BrokenConnectionError: another attempt may succeed.
        MissingWeightsError: none will.
    """
    code = response.status_code
    if code in (408, 425, 429) or code >= 500:
        raise BrokenConnectionError(f"the server answers {code} {response.reason}")
    if code not in (200, 206):
        raise MissingWeightsError(f"cannot get {url}: the server answers {code} {response.reason}")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise MissingWeightsError(
            f"{url} gives a web page instead of weights; a login or proxy page may be in between"
        )


def _first_byte(response: "Response") -> int | None:
    """Return the position in the file at which a partial response begins, if the server states it."""
    span = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
    return int(span) if span.isdigit() else None


def _total_bytes(response: "Response") -> int | None:
    """Return the size of the whole file, if the server states it."""
    whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    if whole.isdigit():
        return int(whole)
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() and response.status_code == 200 else None


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _broken_connection(error: Exception) -> BrokenConnectionError:
    """Translate an error of `requests` to a sentence for people."""
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return UnreachableError("the server's certificate is not trusted")
    if isinstance(error, requests.exceptions.InvalidSchema) and "SOCKS" in str(error):
        return UnreachableError(
            "a SOCKS proxy is set (ALL_PROXY or HTTPS_PROXY), which takes PySocks; install it with: "
            "pip install pysocks"
        )
    if isinstance(error, requests.exceptions.Timeout):
        return BrokenConnectionError("the server is silent")
    if isinstance(error, requests.exceptions.ConnectionError) and "NameResolution" in str(error):
        return UnreachableError("the server's name is not found (is this machine online?)")
    if isinstance(error, requests.exceptions.ConnectionError) and "NewConnection" in str(error):
        return UnreachableError("the server cannot be reached")
    return BrokenConnectionError("the connection broke")
