"""Check what is given before PyTorch is loaded and anything is written."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tagbox.cli.recordings import is_pipe
from tagbox.errors import FailedWriteError, UnknownTagError, UnreadableRecordingError, UnwritableOutputError
from tagbox.parallel.storage import Address, Place

if TYPE_CHECKING:
    from tagbox.free_text import Listeners
    from tagbox.settings import Settings


def check_tags(queries: Sequence[str], settings: "Settings") -> "Listeners":
    """Check that something understands every word of `queries`, and return what does.

    Raises:
        TagBoxError: a query is empty.
        UnknownTagError: nothing understands a word; names the nearest ones.
    """
    from tagbox.free_text import choose_listeners
    from tagbox.tags.query import words_of

    if settings.vocabulary == "right":
        # The published vocabulary has words of its own.
        for query in (*queries, *settings.without):
            for word in words_of(query):
                _refuse_list(word)
    return choose_listeners(queries, settings)


def check_recordings(files: Sequence[Place]) -> None:
    """Check that all `files` can be recordings, before the first of them is processed.

    Raises:
        TagBoxError: one cannot be; says which, and what to do.
    """
    from tagbox.audio.validation import require_regular_file

    check_no_tag_among(files)
    for path in files:
        # What comes through a pipe, or is at an address, has to be fetched first.
        if isinstance(path, Path) and not is_pipe(path):
            require_regular_file(path)


def check_no_tag_among(files: Sequence[Place]) -> None:
    """Check that none of several `files` is a tag, in front of which --tags was forgotten.

    Raises:
        UnreadableRecordingError: one is.
    """
    tag = find_forgotten_tag(list(map(str, files)))
    if tag is not None and len(files) > 1:
        raise UnreadableRecordingError(forgotten_tag_message(tag))


def check_folder(folder: Place) -> None:
    """Check that results can go to `folder`: that neither it nor a folder above it is a file or read-only.

    Raises:
        UnwritableOutputError: it is a file, or an address of nothing.
        FailedWriteError: it is read-only.
        MachineError: storage does not answer.
    """
    if isinstance(folder, Address):
        folder.check_writable()
        return
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if existing is not None and not existing.is_dir():
        raise UnwritableOutputError(
            f"{existing} is a file, and results need a folder; give another one with -o"
        )
    if existing is not None and not os.access(existing, os.W_OK | os.X_OK):
        raise FailedWriteError(f"{existing} cannot be written; give another folder with -o")


def find_forgotten_tag(files: Sequence[str]) -> str | None:
    """Return the first of `files` that is no file but a tag, given without --tags in front of it."""
    from tagbox.tags.resolve import can_express

    return next((name for name in files if not Path(name).exists() and can_express(name)), None)


def forgotten_tag_message(tag: str) -> str:
    """Say that --tags was forgotten in front of `tag`."""
    return f"there is no file {tag}; if it is a tag, write --tags {shlex.quote(tag)}"


def _refuse_list(word: str) -> None:
    """Refuse several tags between commas, which are no text either.

    Raises:
        UnknownTagError: the word is such a list.
    """
    from tagbox.tags.resolve import can_express

    parts = [part.strip() for part in word.split(",")]
    if len(parts) > 1 and all(map(can_express, parts)) and not can_express(word):
        separate = " ".join(f"--tags {shlex.quote(part)}" for part in parts)
        raise UnknownTagError(
            f"{word!r} is not one tag; write {separate} (or {'+'.join(parts)} for one source)"
        )
