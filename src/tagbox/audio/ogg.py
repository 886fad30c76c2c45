"""Tell whether an Ogg file is a chain of streams, as recorders of radio stations write them."""

from pathlib import Path

_CAPTURE = b"OggS"
_HEADER_BYTES = 27
_BEGINS_STREAM = 0x02


def is_chained(path: Path) -> bool:
    """Tell whether streams follow one another in the Ogg file at `path` (RFC 3533, section 4).

    Streams side by side, such as sound and pictures, all begin before the first page of content.
    """
    content = False
    with path.open("rb") as file:
        while True:
            header = file.read(_HEADER_BYTES)
            if len(header) < _HEADER_BYTES or not header.startswith(_CAPTURE):
                return False
            begins = bool(header[5] & _BEGINS_STREAM)
            if begins and content:
                return True
            content = content or not begins
            segments = file.read(header[26])
            file.seek(sum(segments), 1)
