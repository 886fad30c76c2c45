"""Check files that are to be read as recordings, without PyTorch; messages say what to give instead.

Decoded samples are checked in `tagbox.audio.arrays`.
"""

import codecs
import difflib
import hashlib
import shutil
from pathlib import Path

from tagbox.errors import UnreadableRecordingError

STORAGE_PROTOCOLS = ("s3", "gs", "abfs")
PROTOCOLS = ("http", "https", *STORAGE_PROTOCOLS)
ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".caf", ".w64")
"""Endings by which recordings in a folder are recognised."""
FFMPEG_ENDINGS = (".m4a", ".mp4", ".mkv", ".webm", ".wma", ".aac", ".ac3")
"""Endings of recordings that ffmpeg decodes, where it is installed."""


def require_regular_file(path: str | Path) -> Path:
    """Check that `path` is a file that may be a recording; return it.

    Raises:
        UnreadableRecordingError: `path` is an address, a folder, missing, unreadable, empty or a text file.
    """
    if is_address(path):
        raise UnreadableRecordingError(
            f"{as_address(path)} is an address; download the recording first and give the file"
        )
    path = Path(path)
    if path.is_dir():
        raise UnreadableRecordingError(_folder_message(path))
    if not path.exists():
        raise UnreadableRecordingError(_missing_message(path))
    if not path.is_file():
        raise UnreadableRecordingError(
            f"{path} is not an ordinary file; give a recording that is saved on disk"
        )
    try:
        with path.open("rb") as file:
            header = file.read(1024)
    except OSError as error:
        raise UnreadableRecordingError(
            f"{path} cannot be opened ({error.strerror}); check its permissions"
        ) from error
    if not header:
        raise UnreadableRecordingError(f"{path} is empty (0 bytes); give another recording")
    # libmpg123, by which libsndfile decodes .mp3, prints pages about a text file before it gives up.
    if _is_text(header):
        raise UnreadableRecordingError(
            f"{path} is a text file, no recording that can be read; give wav, flac, ogg, mp3 or aiff"
        )
    return path


def is_address(path: str | Path) -> bool:
    """Tell whether `path` is a URL; a `Path` made of one has lost a slash."""
    return "://" in str(path) or str(path).startswith(tuple(f"{protocol}:/" for protocol in PROTOCOLS))


def as_address(path: str | Path) -> str:
    """Return the URL of which `path` was made, with both slashes."""
    scheme, _, rest = str(path).partition(":")
    return f"{scheme}://{rest.lstrip('/')}"


def fingerprint(path: str | Path) -> str:
    """Compute the SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_recording_name(name: str) -> bool:
    """Tell whether a file in a folder is taken for a recording by its name."""
    suffix = Path(name).suffix.lower()
    return suffix in ENDINGS or (suffix in FFMPEG_ENDINGS and shutil.which("ffmpeg") is not None)


def list_recordings(folder: Path) -> list[Path]:
    """List the files in `folder` that have a recording's name, sorted; none where it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if is_recording_name(path.name))
    except OSError:
        return []


def _folder_message(folder: Path) -> str:
    recordings = list_recordings(folder)
    if not recordings:
        return f"{folder} is a folder without recordings in it; give files, such as song.wav"
    if len(recordings) == 1:
        return f"{folder} is a folder with a recording; name the files: {recordings[0]}"
    endings = dict.fromkeys(path.suffix for path in recordings)
    patterns = " ".join(str(folder / f"*{ending}") for ending in endings)
    return f"{folder} is a folder with {len(recordings)} recordings; name the files: {patterns}"


def _missing_message(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no file {path}, nor a folder {folder}; check the spelling and the folder"
    if path.is_symlink():
        return f"{path} is a link to {path.readlink()}, which does not exist; give the file itself"
    by_name = {each.name.casefold(): each for each in list_recordings(folder)}
    near = difflib.get_close_matches(path.name.casefold(), by_name, n=1, cutoff=0.6)
    near = near or [name for name, each in by_name.items() if each.stem == path.stem][:1]
    hint = f"did you mean {by_name[near[0]]}?" if near else "check the spelling and the folder"
    return f"there is no file {path}; {hint}"


def _is_text(header: bytes) -> bool:
    """Tell whether `header` is printable UTF-8; every audio format begins with some bytes that are not."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(header)
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\t\n\r\f\ufeff" for letter in text)
