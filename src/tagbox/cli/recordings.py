"""Find the recordings that a command line names: files, folders, quoted wildcards, pipes, addresses."""

import glob
import itertools
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from tagbox.atomic_files import failed_write
from tagbox.audio.validation import is_address, is_recording_name
from tagbox.cli.console import is_terminal
from tagbox.errors import TagBoxError, UnreadableRecordingError
from tagbox.parallel.storage import Address, Place, as_place, fetched
from tagbox.temporary_files import PREFIX, temporary_folder

STANDARD_INPUT = "-"
STANDARD_INPUT_NAME = "stdin"
"""What a recording that came through standard input is called in results."""
UNSAFE_PARTS = ("", ".", "..")
APPLE_DOUBLE_PREFIX = "._"
"""Of the files that macOS leaves beside others on foreign disks; they hold no audio."""


@dataclass(frozen=True)
class NamedRecording:
    """A recording that a command line names.

    Attributes:
        path: of the file or named pipe; `STANDARD_INPUT` for standard input; or an address on storage.
        folder: for its results, below the folder of all results.
    """

    path: Place
    folder: PurePath


def find_recordings(inputs: Sequence[Path], out: Place | None = None) -> list[NamedRecording]:
    """Find the recordings that `inputs` name, each once, and give each a folder for its results.

    A folder stands for all recordings in it and below, a name with wildcards for what it matches, if no file
    has this very name. Their results keep the folders' structure. Files that are missing are found, too:
    their fault is told when their turn comes.

    Args:
        inputs: as given on the command line.
        out: the folder of the results, in which no recordings are looked for.

    Raises:
        UnreadableRecordingError: a folder holds no recording, or nothing matches a wildcard.
        TagBoxError: two recordings would share a folder, or storage cannot be read.
    """
    names: dict[Place, tuple[Place, PurePath]] = {}
    for given in inputs:
        for path, name in _expand(as_place(given), out):
            names.setdefault(path if isinstance(path, Address) else path.absolute(), (path, name))
    folders = {key: result_folder(name) for key, (_, name) in names.items()}
    # song.wav and song.mp3 in one folder keep their endings.
    shared = _repeated(folders.values())
    folders = {
        key: safe_path(names[key][1]) if folder in shared else folder for key, folder in folders.items()
    }
    if repeated := _repeated(folders.values()):
        raise TagBoxError(
            f"several recordings are called {', '.join(sorted(map(str, repeated)))}, and their results would "
            "share a folder; separate them one at a time, or give the folder above them"
        )
    return [NamedRecording(names[key][0], folder) for key, folder in folders.items()]


def expand_addresses(files: Sequence[Path]) -> list[Place]:
    """Return `files` with the recordings at those that are addresses, of files, folders or with wildcards.

    Raises:
        TagBoxError: storage cannot be read, or has no recordings there.
    """
    places = [as_place(each) for each in files]
    found = [
        [path for path, _ in _expand_address(place, None)] if isinstance(place, Address) else [place]
        for place in places
    ]
    return [each for group in found for each in group]


def result_folder(name: PurePath) -> PurePath:
    """Return the folder for the results of a recording called `name`: its name without the ending.

    >>> result_folder(PurePath("album/song.flac")), result_folder(PurePath("...wav"))
    (PurePosixPath('album/song'), PurePosixPath('...wav'))
    """
    stem = name.stem if name.stem not in UNSAFE_PARTS else name.name
    return safe_path(name.with_name(stem) if stem not in UNSAFE_PARTS else PurePath("recording"))


def safe_path(path: PurePath) -> PurePath:
    """Return `path` without whatever could lead out of the folder that it is put below.

    >>> safe_path(PurePath("/etc/../song"))
    PurePosixPath('etc/song')
    """
    return PurePath(*(part for part in path.parts if part not in UNSAFE_PARTS and part != path.anchor))


def is_pipe(path: Place) -> bool:
    """Return whether `path` is standard input or a named pipe."""
    try:
        return str(path) == STANDARD_INPUT or (isinstance(path, Path) and path.is_fifo())
    except OSError:
        return False


@contextmanager
def spooled(path: Place) -> Iterator[Path]:
    """Yield the path of a file with what comes through a pipe or is at an address, removed at the end.

    Any other path is yielded as it is.

    Raises:
        UnreadableRecordingError: standard input is a terminal or closed, or what is named cannot be read.
        FailedWriteError: the disk for temporary files is full.
    """
    if isinstance(path, Address):
        with fetched(path) as copy:
            yield copy
        return
    if not is_pipe(path):
        yield path
        return
    is_standard = str(path) == STANDARD_INPUT
    if is_standard and (sys.stdin is None or is_terminal(sys.stdin)):
        raise UnreadableRecordingError(
            "- takes a recording from a pipe, and nothing is piped in; for example: "
            "ffmpeg -i song.mkv -f wav - | tagbox tag -"
        )
    try:
        folder = Path(tempfile.gettempdir())
        with temporary_folder(folder) as temporary:
            file = temporary / (STANDARD_INPUT_NAME if is_standard else path.name)
            with file.open("wb") as spool:
                if is_standard:
                    shutil.copyfileobj(sys.stdin.buffer, spool)
                else:
                    with path.open("rb") as pipe:
                        shutil.copyfileobj(pipe, spool)
            yield file
    except OSError as error:
        raise failed_write(folder, error) from error


def as_named(error: TagBoxError, spool: Place, path: Place) -> str:
    """Return an error's message about `path`, which was read from `spool`, with the name that was given."""
    message = str(error).replace(str(spool), str(path))
    names_it = str(path) in message or path.name in message
    return message if names_it else f"{path}: {message}"


def _expand(given: Place, out: Place | None) -> Iterator[tuple[Place, PurePath]]:
    """Yield the recordings that `given` stands for, and the names that decide where their results go."""
    if isinstance(given, Address):
        yield from _expand_address(given, out if isinstance(out, Address) else None)
    else:
        yield from _expand_path(given, out if isinstance(out, Path) else None)


def _expand_address(given: Address, out: Address | None) -> Iterator[tuple[Address, PurePath]]:
    """Yield the recordings at an address, named as those of a folder, or of a path with wildcards."""
    known = given.info()
    if known is None and glob.has_magic(given.text):
        base = list(itertools.takewhile(lambda part: not glob.has_magic(part), given.text.split("/")))
        found = [(each, PurePath(*each.text.split("/")[len(base) :])) for each in given.matches()]
        fault = f"no recording matches {given}; check the spelling and the folder"
    elif known is not None and known["type"] == "directory":
        found = given.below()
        fault = f"{given} is a folder without recordings in it; give files, such as {given}/song.wav"
    else:
        # Where it is missing, that is told when its turn comes.
        yield given, PurePath(given.name)
        return
    excluded = None if out is None else f"{out}/"
    recordings = [
        (path, name)
        for path, name in found
        if _is_wanted(name.name)
        and not any(folder.startswith(".") for folder in name.parts[:-1])
        and not (excluded is not None and path.text.startswith(excluded))
    ]
    if not recordings:
        raise UnreadableRecordingError(fault)
    yield from recordings


def _expand_path(given: Path, out: Path | None) -> Iterator[tuple[Path, PurePath]]:
    if str(given) == STANDARD_INPUT:
        yield given, PurePath(STANDARD_INPUT_NAME)
    elif given.is_dir():
        yield from _walk(given, out)
    elif not is_address(given) and not os.path.lexists(given) and glob.has_magic(str(given)):
        yield from _match(given, out)
    else:
        yield given, PurePath(given.name)


def _walk(folder: Path, out: Path | None, must_hold: bool = True) -> Iterator[tuple[Path, PurePath]]:
    """Yield the recordings in `folder` and below, named by their paths within it."""
    excluded = None if out is None else out.resolve()
    count = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(
            each
            for each in folders
            if not each.startswith(".") and (excluded is None or Path(parent, each).resolve() != excluded)
        )
        for name in sorted(names):
            path = Path(parent, name)
            if _is_wanted(name) and path.is_file():
                count += 1
                yield path, path.relative_to(folder)
    if not count and must_hold:
        raise UnreadableRecordingError(
            f"{folder} is a folder without recordings in it; give files, such as song.wav"
        )


def _match(pattern: Path, out: Path | None) -> Iterator[tuple[Path, PurePath]]:
    """Yield what `pattern` matches, named by what follows the part without wildcards."""
    # Path.glob takes no absolute patterns, and no dots.
    matches = [Path(each) for each in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207
    base = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts))
    excluded = None if out is None else out.resolve()
    # `*` matches covers and texts as well; an ending that is written out is meant.
    takes_all = not glob.has_magic(pattern.suffix) and pattern.suffix != ""
    count = 0
    for path in matches:
        if path.is_dir():
            found = [] if "**" in pattern.parts else list(_walk(path, out, must_hold=False))
            names = [(each, path.relative_to(base) / name) for each, name in found]
        else:
            inside = excluded is not None and excluded in path.resolve().parents
            wanted = (takes_all or is_recording_name(path.name)) and not inside
            names = [(path, path.relative_to(base))] if wanted else []
        count += len(names)
        yield from names
    if not count:
        raise UnreadableRecordingError(f"no recording matches {pattern}; check the spelling and the folder")


def _is_wanted(name: str) -> bool:
    """Return whether a file in a folder is a recording, and none of what programs leave beside them."""
    return is_recording_name(name) and not name.startswith((PREFIX, APPLE_DOUBLE_PREFIX))


def _repeated(paths: Iterable[PurePath]) -> set[PurePath]:
    return {path for path, count in Counter(paths).items() if count > 1}
