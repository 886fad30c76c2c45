"""Recognise a recording's container by its first bytes: the ending of a name is only a hint."""

from typing import Literal

Container = Literal[
    "wav", "rf64", "w64", "flac", "ogg", "mp3", "aiff", "au", "caf", "mp4", "matroska", "asf", "adts", "ac3"
]

HEADER_BYTES = 64
"""As many as `container_of` looks at, an ID3 tag not counted."""

DECODED_BY_LIBSNDFILE = frozenset({"wav", "rf64", "w64", "flac", "ogg", "mp3", "aiff", "au", "caf"})

_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_ASF = bytes.fromhex("3026b2758e66cf11")
_MATROSKA = bytes.fromhex("1a45dfa3")
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")


def id3_bytes(header: bytes) -> int:
    """Return the length of the ID3v2 tag at the beginning of `header`; 0 where there is none."""
    if len(header) < 10 or not header.startswith(b"ID3"):
        return 0
    # Each byte of the size has seven bits; a footer repeats the header.
    size = 0
    for byte in header[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if header[5] & 0x10 else 0)


def container_of(header: bytes) -> Container | None:
    """Name the container whose file begins with `header` (after any ID3 tag); None where it is unknown."""
    four = header[:4]
    if four in (b"RIFF", b"RIFX") and header[8:12] == b"WAVE":
        return "wav"
    if four in (b"RF64", b"BW64"):
        return "rf64"
    if header.startswith(_W64):
        return "w64"
    simple: dict[bytes, Container] = {b"fLaC": "flac", b"OggS": "ogg", b".snd": "au", b"caff": "caf"}
    if four in simple:
        return simple[four]
    if four == b"FORM" and header[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if header[4:8] in _MP4_BOXES:
        return "mp4"
    if four == _MATROSKA:
        return "matroska"
    if header.startswith(_ASF):
        return "asf"
    if header.startswith(b"\x0b\x77"):
        return "ac3"
    if len(header) > 1 and header[0] == 0xFF and header[1] & 0xE0 == 0xE0:
        # Layer 0 does not exist in MPEG audio, and is what marks AAC in ADTS.
        return "adts" if header[1] & 0x06 == 0 else "mp3"
    return None
