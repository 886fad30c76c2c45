"""Downloads that survive broken connections: what has arrived stays in a file, and the next try goes on.

pooch, which we otherwise rely on, starts a broken download again from nothing, so this is a loop of our own
on top of `requests`, which pooch uses as well. Whether the bytes are the right ones is not judged here.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

from tagbox.errors import TagBoxError

if TYPE_CHECKING:
    from requests import Response

# What a broken connection loses at most.
CHUNK = 1 << 14
# No weights here are nearly as large; a server that never ends must not fill the disk.
MOST_BYTES = 1 << 30


class DownloadObserver(Protocol):
    """Who wants to know how a download goes."""

    def arrived(self, done: int, total: int | None) -> None:
        """So many bytes are here, of `total` if the server says."""

    def say(self, text: str) -> None:
        """A sentence for people."""


class BrokenError(Exception):
    """The connection ended, or the server was too busy; another try may help."""


def mirrored(url: str) -> str:
    """The same address on the mirror that TAGBOX_MIRROR names (``http://host/folder``), if it names one."""
    mirror = os.environ.get("TAGBOX_MIRROR", "").rstrip("/")
    if not mirror:
        return url
    base, rest = urlsplit(mirror), urlsplit(url)
    if base.scheme not in ("http", "https") or not base.netloc:
        raise TagBoxError(f"TAGBOX_MIRROR is {mirror!r}; give an address such as https://host/folder")
    return urlunsplit((base.scheme, base.netloc, base.path + rest.path, rest.query, ""))


class UnreachableError(BrokenError):
    """There was no connection to begin with."""


@dataclass(frozen=True)
class Patience:
    """How long to bear with a bad connection.

    Attributes:
        tries: attempts in a row that bring nothing new before we give up.
        pause: seconds before the second of them; doubles each time.
        silence: seconds without a byte after which a connection counts as broken.
    """

    tries: int = 5
    pause: float = 1.0
    silence: float = 30.0


def download(url: str, part: Path, listener: DownloadObserver, patience: Patience | None = None) -> None:
    """Bring all of `url` into `part`, going on from what is there already.

    Raises:
        TagBoxError: the server refuses, sends a web page, or the connection breaks too often.
    """
    patience = patience or Patience()
    failures = 0
    reached = False
    while True:
        before = _size(part)
        try:
            _attempt(url, part, listener, patience.silence)
            return
        except BrokenError as error:
            reached = reached or not isinstance(error, UnreachableError)
            failures = failures + 1 if _size(part) <= before else 1
            # No network at all will not come back in seconds, one that was there may.
            if failures >= patience.tries or not reached:
                kept = "; run it again to go on where it stopped" if _size(part) else ""
                raise TagBoxError(f"cannot get {url}: {error}{kept}") from error
            listener.say(f"{error}; trying again")
            time.sleep(patience.pause * 2 ** (failures - 1))


def _attempt(url: str, part: Path, listener: DownloadObserver, silence: float) -> None:
    import requests

    have = _size(part)
    # Compressed on the way, the bytes on the wire would not count those in the file.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=silence) as response:
            if response.status_code == 416:
                # Nothing lies beyond what we have: all of it, or more than the file; the checksum tells.
                if _total(response) == have:
                    return
                part.unlink()
                raise BrokenError("what had arrived was longer than the file")
            _refuse(url, response)
            resumed = response.status_code == 206 and _starts_at(response) == have
            if response.status_code == 206 and not resumed:
                part.unlink(missing_ok=True)
                raise BrokenError("the server sent another part than was asked for")
            total = _total(response)
            done = _write(part, have if resumed else 0, total, response, listener)
            if total is not None and done < total:
                raise BrokenError(f"the connection ended after {done} of {total} bytes")
    except requests.exceptions.RequestException as error:
        if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
            raise TagBoxError(f"{url!r} is not an address; give one such as https://host/file") from error
        raise _broken(error) from error


def _write(part: Path, have: int, total: int | None, response: "Response", listener: DownloadObserver) -> int:
    import requests

    done = have
    try:
        with part.open("ab" if have else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if done > MOST_BYTES:
                    raise TagBoxError(
                        f"{response.url} sends more than {MOST_BYTES >> 20} MB; it is not weights"
                    )
                listener.arrived(done, total)
    except requests.exceptions.RequestException:
        raise
    except OSError as error:
        raise TagBoxError(f"cannot write {part} ({error.strerror}); make room, or set TAGBOX_HOME") from error
    return done


def _refuse(url: str, response: "Response") -> None:
    """What no further try would change, and what may pass."""
    code = response.status_code
    if code in (408, 425, 429) or code >= 500:
        raise BrokenError(f"the server answers {code} {response.reason}")
    if code not in (200, 206):
        raise TagBoxError(f"cannot get {url}: the server answers {code} {response.reason}")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise TagBoxError(
            f"{url} gives a web page instead of weights; a login or proxy page may be in between"
        )


def _starts_at(response: "Response") -> int | None:
    span = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
    return int(span) if span.isdigit() else None


def _total(response: "Response") -> int | None:
    """Bytes of the whole file, if the server says."""
    whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    if whole.isdigit():
        return int(whole)
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() and response.status_code == 200 else None


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _broken(error: Exception) -> BrokenError:
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return UnreachableError("the server's certificate is not trusted")
    if isinstance(error, requests.exceptions.Timeout):
        return BrokenError("the server is silent")
    if isinstance(error, requests.exceptions.ConnectionError) and "NameResolution" in str(error):
        return UnreachableError("the server's name is not found (is this machine online?)")
    if isinstance(error, requests.exceptions.ConnectionError) and "NewConnection" in str(error):
        return UnreachableError("the server cannot be reached")
    return BrokenError("the connection broke")
