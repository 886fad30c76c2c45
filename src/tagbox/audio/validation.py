"""The files that people give: refused with what to do next, before anything heavy is loaded."""

import codecs
import difflib
from pathlib import Path

from tagbox.errors import TagBoxError

ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".caf", ".w64")
"""Of recordings, where a folder's are counted or a wrong name's neighbours are sought."""


def regular_file(path: str | Path) -> Path:
    """`path`, if something can be read there that may be a recording.

    Raises:
        TagBoxError: it is an address, a folder, not there, empty or a text.
    """
    if is_address(path):
        raise TagBoxError(f"{_address(path)} is an address; download the recording first and give the file")
    path = Path(path)
    if path.is_dir():
        raise TagBoxError(_folder(path))
    if not path.exists():
        raise TagBoxError(_missing(path))
    if not path.is_file():
        raise TagBoxError(f"{path} is not an ordinary file; give a recording that is saved on disk")
    try:
        with path.open("rb") as file:
            beginning = file.read(1024)
    except OSError as error:
        raise TagBoxError(f"{path} cannot be opened ({error.strerror}); check its permissions") from error
    if not beginning:
        raise TagBoxError(f"{path} is empty (0 bytes); give another recording")
    # libmpg123, which libsndfile asks about names in .mp3, prints pages about a text file before it gives up.
    if _is_text(beginning):
        raise TagBoxError(
            f"{path} is a text file, no recording that can be read; give wav, flac, ogg, mp3 or aiff"
        )
    return path


def is_address(path: str | Path) -> bool:
    """Whether somebody gave a URL; a `Path` has lost one of its slashes."""
    return "://" in str(path) or str(path).startswith(("http:/", "https:/"))


def recordings_in(folder: Path) -> list[Path]:
    """The files in `folder` whose names end as recordings' do."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    except OSError:
        return []


def _address(path: str | Path) -> str:
    scheme, _, rest = str(path).partition(":")
    return f"{scheme}://{rest.lstrip('/')}"


def _folder(folder: Path) -> str:
    found = recordings_in(folder)
    if not found:
        return f"{folder} is a folder without recordings in it; give files, such as song.wav"
    holds = f"{len(found)} recordings" if len(found) > 1 else "a recording"
    endings = list(dict.fromkeys(path.suffix for path in found))
    files = " ".join(str(folder / f"*{ending}") for ending in endings) if len(found) > 1 else str(found[0])
    return f"{folder} is a folder with {holds}; name the files: {files}"


def _missing(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no file {path}, nor a folder {folder}; check the spelling and the folder"
    by_name = {each.name.casefold(): each for each in recordings_in(folder)}
    near = difflib.get_close_matches(path.name.casefold(), by_name, n=1, cutoff=0.6)
    near = near or [name for name, each in by_name.items() if each.stem == path.stem][:1]
    hint = f"did you mean {by_name[near[0]]}?" if near else "check the spelling and the folder"
    return f"there is no file {path}; {hint}"


def _is_text(beginning: bytes) -> bool:
    """Whether these bytes are text and nothing else; every format of audio has others in its first ones."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\t\n\r\f\ufeff" for letter in text)
