"""Write files that appear whole or not at all, one by one or together."""

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tagbox.audio.validation import as_address, is_address
from tagbox.errors import FailedWriteError, OutputExistsError, UnwritableOutputError
from tagbox.temporary_files import temporary_file, temporary_folder

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})
MACHINE_FAULTS = FULL_DISK | {
    *(errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
}
"""What the system refuses although what was asked for is right; others are wrong names, such as ENOTDIR."""


def refuse_to_overwrite(path: Path, force: bool) -> None:
    """Check that `path` may be written.

    Raises:
        OutputExistsError: `path` exists and `force` is not given.
    """
    if path.exists() and not force:
        raise OutputExistsError(f"{path} exists already; give --force to replace it, or another name")


def failed_write(path: Path, error: OSError) -> UnwritableOutputError:
    """Return the error that says why `path`, a file or folder, cannot be written."""
    reason = error.strerror or str(error)
    if error.errno in FULL_DISK:
        return FailedWriteError(f"cannot write {path}: the disk is full ({reason}); make room there")
    kind = FailedWriteError if error.errno in MACHINE_FAULTS else UnwritableOutputError
    return kind(f"cannot write to {path} ({reason}); choose a folder that you can write")


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it, where they are missing.

    Raises:
        UnwritableOutputError: that is impossible.
    """
    if is_address(folder) and not folder.is_dir():
        raise UnwritableOutputError(
            f"{as_address(folder)} is an address, where only `tagbox separate` writes; give a folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise failed_write(folder, error) from error


@contextmanager
def write_atomically(path: Path, force: bool = False) -> Iterator[Path]:
    """Yield the path of a temporary file, which is renamed to `path` if the block ends without an error.

    The temporary file has the ending of `path`, by which libraries choose the format.

    Raises:
        OutputExistsError: `path` exists and `force` is not given.
        UnwritableOutputError: its folder cannot be written.
        FailedWriteError: the disk is full, or fails.
    """
    refuse_to_overwrite(path, force)
    make_folder(path.parent)
    try:
        with temporary_file(path.parent, path.suffix) as temporary:
            yield temporary
            make_readable(temporary)
            temporary.replace(path)
    except OSError as error:
        raise failed_write(path if error.errno in FULL_DISK else path.parent, error) from error


def move_together(files: Mapping[Path, Path], manifest: Path) -> None:
    """Move finished temporary files to their places, `manifest`, one of these places, last.

    A manifest that is there already is removed first: where a kill ends this halfway, no manifest describes
    files of another run. Where the system refuses a move, what was there before is put back, on file systems
    that have hard links.

    Raises:
        OSError: the system refused a move.
    """
    earlier = _link_earlier(files)
    moved: list[Path] = []
    try:
        manifest.unlink(missing_ok=True)
        for temporary, place in sorted(files.items(), key=lambda item: item[1] == manifest):
            make_readable(temporary)
            temporary.replace(place)
            moved.append(place)
    except OSError:
        for place in moved:
            if place not in earlier:
                place.unlink(missing_ok=True)
        for place, link in sorted(earlier.items(), key=lambda item: item[0] == manifest):
            with suppress(OSError):
                link.replace(place)
        raise


def _link_earlier(files: Mapping[Path, Path]) -> dict[Path, Path]:
    """Link what is at the places of temporary files beside these; return the links by place."""
    links = {}
    for temporary, place in files.items():
        link = temporary.with_name(f"{temporary.name}.earlier")
        with suppress(OSError):
            os.link(place, link, follow_symlinks=False)
            links[place] = link
    return links


@contextmanager
def written_together(manifest: Path, data: Mapping[str, Any], places: Sequence[Path]) -> Iterator[Path]:
    """Yield a temporary folder for files; if the block ends without an error, move them beside `manifest`.

    Args:
        manifest: the path at which `data` is written as JSON.
        data: see `manifest`.
        places: the paths that the files will have, in the manifest's folder; what is there is replaced.

    Raises:
        UnwritableOutputError: the folder cannot be written.
        FailedWriteError: the disk is full, or fails; no file has then changed.
    """
    folder = manifest.parent
    make_folder(folder)
    try:
        with temporary_folder(folder) as temporary:
            yield temporary
            described = temporary / manifest.name
            described.write_text(as_json(data), encoding="utf-8")
            moved = {temporary / place.name: place for place in places}
            move_together({**moved, described: manifest}, manifest)
    except OSError as error:
        raise failed_write(folder, error) from error


def make_readable(temporary: Path) -> None:
    """Give a temporary file, which only its owner can read, the permissions of other new files."""
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)


def write_json(data: Mapping[str, Any], path: Path, force: bool) -> None:
    """Write `data` as indented JSON in UTF-8, whole or not at all.

    Raises:
        OutputExistsError: `path` exists and `force` is not given.
        UnwritableOutputError: its folder cannot be written.
        FailedWriteError: the disk is full, or fails.
    """
    with write_atomically(path, force) as temporary:
        temporary.write_text(as_json(data), encoding="utf-8")


def as_json(data: Mapping[str, Any]) -> str:
    """Return `data` as indented JSON; of names that are no UTF-8, the bytes are escaped as \\udcXX."""
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    # What Python writes for a lone surrogate is JSON's escape for it, too.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
