"""Carry title, artist, album and cover art of a recording over to its stems.

Read by tinytag from anything that it knows (ID3 in mp3 and wav, Vorbis comments, MP4, ASF, AIFF); written
into flac and wav files. Samples do not change by it, and where metadata are damaged there are none.
"""

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final

from tagbox.audio.wave_chunks import append_chunks

MAX_CHARACTERS = 1000
"""Of a text; longer ones are cut."""
MAX_COVER_BYTES = 8 << 20
"""A FLAC block holds 16 MiB at most; a larger picture is left out."""

_SIGNATURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}

_READ_AS: Final = {
    "TITLE": "title", "ARTIST": "artist", "ALBUM": "album", "ALBUMARTIST": "albumartist",
    "COMPOSER": "composer", "GENRE": "genre", "DATE": "year", "TRACKNUMBER": "track",
    "TRACKTOTAL": "track_total", "DISCNUMBER": "disc", "DISCTOTAL": "disc_total",
}  # fmt: skip
"""Names of Vorbis comments, and tinytag's."""
_INFO_CHUNKS = {
    "TITLE": b"INAM", "ARTIST": b"IART", "ALBUM": b"IPRD", "GENRE": b"IGNR", "DATE": b"ICRD",
    "TRACKNUMBER": b"ITRK",
}  # fmt: skip
_ID3_FRAMES = {
    "TITLE": b"TIT2", "ARTIST": b"TPE1", "ALBUM": b"TALB", "ALBUMARTIST": b"TPE2", "COMPOSER": b"TCOM",
    "GENRE": b"TCON", "DATE": b"TYER", "TRACKNUMBER": b"TRCK", "DISCNUMBER": b"TPOS",
}  # fmt: skip
_TOTALS = {"TRACKNUMBER": "TRACKTOTAL", "DISCNUMBER": "DISCTOTAL"}

_FLAC_PADDING, _FLAC_COMMENTS, _FLAC_PICTURE = 1, 4, 6
_FRONT_COVER = 3
_COPIED_BYTES = 1 << 20


@dataclass(frozen=True)
class Cover:
    """A picture: its MIME type and its file."""

    mime: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Metadata:
    """What a file says of the music in it.

    Attributes:
        texts: by the names of Vorbis comments, such as TITLE and TRACKNUMBER.
        cover: a picture, if there is one.
    """

    texts: Mapping[str, str]
    cover: Cover | None = None

    def of_stem(self, name: str) -> "Metadata":
        """Return the metadata of a stem: "Song" becomes "Song (violin)"."""
        return replace(self, texts={**self.texts, "TITLE": f"{self.texts.get('TITLE', '')} ({name})".strip()})


def read_metadata(path: Path) -> Metadata:
    """Read what the file at `path` says of its music; where it says nothing, its name is the title."""
    from tinytag import TinyTag

    texts: dict[str, str] = {}
    cover = None
    # A parser may raise anything for bytes that nobody foresaw, and no separation fails for a title.
    try:
        with path.open("rb") as file:
            found = TinyTag.get(file_obj=file, duration=False, image=True)
        for ours, theirs in _READ_AS.items():
            values = [getattr(found, theirs), *found.other.get(theirs, [])]
            text = _clean("; ".join(dict.fromkeys(str(value) for value in values if value)))
            if text:
                texts[ours] = text
        picture = found.images.front_cover or found.images.any
        cover = None if picture is None else _cover(picture.data)
    except Exception:
        texts, cover = {}, None
    return Metadata({"TITLE": _title(path.name), **texts}, cover)


def write_metadata(path: Path, metadata: Metadata) -> None:
    """Write metadata into the flac or wav file at `path`, which TagBox has just written.

    Raises:
        OSError: the disk is full, or fails.
    """
    if path.suffix.lower() == ".flac":
        _write_flac(path, metadata)
    else:
        chunks = {b"LIST": _info_list(metadata)}
        if metadata.cover is not None or not metadata.texts.keys() <= {*_INFO_CHUNKS, "TRACKTOTAL"}:
            chunks[b"id3 "] = _id3_tag(metadata)
        append_chunks(path, chunks)


def _title(name: str) -> str:
    text = os.fsencode(name).decode("utf-8", "replace")
    return _clean(Path(text).stem)


def _clean(text: str) -> str:
    """Return `text` without control characters and lone surrogates, not longer than any player shows."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    kept = "".join(each if unicodedata.category(each) != "Cc" else " " for each in whole)
    return " ".join(kept.split())[:MAX_CHARACTERS]


def _cover(data: bytes) -> Cover | None:
    """Return a picture of a type that players show; what a file calls it is not believed."""
    if len(data) > MAX_COVER_BYTES:
        return None
    return next((Cover(mime, data) for start, mime in _SIGNATURES.items() if data.startswith(start)), None)


def _numbered(metadata: Metadata, name: str) -> str:
    """Return a text as RIFF and ID3 have it: numbers with their total, "3/12"."""
    text, total = metadata.texts[name], metadata.texts.get(_TOTALS.get(name, ""))
    return text if total is None else f"{text}/{total}"


def _info_list(metadata: Metadata) -> bytes:
    """Return a list chunk of texts, each ended by zero and filled up to an even length."""
    content = b"INFO"
    for name, chunk in _INFO_CHUNKS.items():
        if name in metadata.texts:
            text = _numbered(metadata, name).encode() + b"\0"
            content += chunk + len(text).to_bytes(4, "little") + text + bytes(len(text) % 2)
    return content


def _id3_tag(metadata: Metadata) -> bytes:
    """Return a tag by ID3 v2.3.0 (https://id3.org/id3v2.3.0), with texts in UTF-16."""
    frames = b""
    for name, frame in _ID3_FRAMES.items():
        if name in metadata.texts:
            text = metadata.texts[name][:4] if name == "DATE" else _numbered(metadata, name)
            frames += _id3_frame(frame, b"\1\xff\xfe" + text.encode("utf-16-le"))
    if metadata.cover is not None:
        mime = metadata.cover.mime.encode()
        frames += _id3_frame(b"APIC", b"\0" + mime + bytes([0, _FRONT_COVER, 0]) + metadata.cover.data)
    size = bytes(len(frames) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + size + frames


def _id3_frame(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4) + b"\0\0" + content


def _write_flac(path: Path, metadata: Metadata) -> None:
    """Replace the comments of a FLAC file (RFC 9639, section 8), and add a picture."""
    with path.open("r+b") as file:
        if file.read(4) != b"fLaC":
            return
        blocks: list[tuple[int, bytes]] = []
        last, vendor = False, b"TagBox"
        while not last:
            header = file.read(4)
            last, kind, size = bool(header[0] & 0x80), header[0] & 0x7F, int.from_bytes(header[1:])
            content = file.read(size)
            if kind == _FLAC_COMMENTS:
                vendor = content[4 : 4 + int.from_bytes(content[:4], "little")]
            elif kind not in (_FLAC_PADDING, _FLAC_PICTURE):
                blocks.append((kind, content))
        blocks.append((_FLAC_COMMENTS, _vorbis_comments(vendor, metadata)))
        if metadata.cover is not None:
            blocks.append((_FLAC_PICTURE, _flac_picture(metadata.cover)))
        data = b"".join(
            bytes([kind | (0x80 if i == len(blocks) - 1 else 0)]) + len(content).to_bytes(3) + content
            for i, (kind, content) in enumerate(blocks)
        )
        _replace_bytes(file, 4, file.tell(), data)


def _vorbis_comments(vendor: bytes, metadata: Metadata) -> bytes:
    texts = [f"{name}={text}".encode() for name, text in metadata.texts.items()]
    parts = [vendor, *texts]
    sized = [len(part).to_bytes(4, "little") + part for part in parts]
    return sized[0] + len(texts).to_bytes(4, "little") + b"".join(sized[1:])


def _flac_picture(cover: Cover) -> bytes:
    """Return a picture block, which leaves open how many pixels and colours there are."""
    mime = cover.mime.encode()
    head = _FRONT_COVER.to_bytes(4) + len(mime).to_bytes(4) + mime + bytes(4 + 4 * 4)
    return head + len(cover.data).to_bytes(4) + cover.data


def _replace_bytes(file: BinaryIO, start: int, stop: int, data: bytes) -> None:
    """Replace the bytes from `start` to `stop` by `data`, and move all that follow, in place."""
    shift = len(data) - (stop - start)
    end = file.seek(0, os.SEEK_END)
    positions = range(stop, end, _COPIED_BYTES)
    for position in reversed(positions) if shift > 0 else positions:
        file.seek(position)
        block = file.read(_COPIED_BYTES)
        file.seek(position + shift)
        file.write(block)
    file.truncate(end + shift)
    file.seek(start)
    file.write(data)
