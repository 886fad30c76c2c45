"""Parsers of our own: whatever the bytes are, they answer in bounded time, and raise nothing of their own."""

import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.robustness.seeds import SNDFILE_FORMATS, _encoded
from tagbox.audio import flac, layouts, metadata, mpeg, ogg, wave_chunks
from tagbox.audio.containers import container_of, id3_bytes

MAX_SECONDS = 3.0
"""Of the processor, for 2 MB; a search that grows with the square of the length takes hours."""

COVER = metadata.Cover("image/png", b"\x89PNG\r\n\x1a\n" + bytes(50))
FULL = metadata.Metadata({"TITLE": "Song", "ALBUMARTIST": "Ensemble", "TRACKNUMBER": "3"}, COVER)


@cache
def whole(name: str) -> bytes:
    """A small valid file."""
    return _encoded(*SNDFILE_FORMATS[name])


def parse(path: Path) -> None:
    """Let every parser read the file at `path`, whatever it is."""
    data = path.read_bytes()
    container_of(data[:64])
    assert id3_bytes(data[:10]) >= 0
    stream = mpeg.read_stream(path)
    if stream is not None:
        assert 0 <= stream.frames <= len(data) and stream.missing >= 0
        assert all(0 <= start < stop <= len(data) for start, stop in stream.spans)
    if data:
        ogg.left_out(path)
    header = flac.read_header(path)
    assert header is None or 0 <= header.samples < 1 << 36
    for name in (b"fmt ", b"data", b"ds64", b"PEAK"):
        position = wave_chunks.find_chunk(path, name)
        assert position is None or position <= len(data)
    layouts.wave_mask(path)
    wave_chunks.data_bytes(path)
    assert metadata.read_metadata(path).texts["TITLE"]


@given(
    name=st.sampled_from(["wav", "wav (six channels)", "rf64", "flac", "mp3", "ogg (Vorbis)"]),
    changes=st.lists(st.tuples(st.integers(0, 300), st.binary(min_size=1, max_size=8)), max_size=6),
    stop=st.integers(0, 4000),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_headers(tmp_path: Path, name: str, changes: list[tuple[int, bytes]], stop: int) -> None:
    data = bytearray(whole(name)[: stop if stop % 3 == 0 else None])
    for position, replaced in changes:
        data[position : position + len(replaced)] = replaced
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    parse(path)


@given(
    start=st.sampled_from(
        [b"", b"RIFF\0\0\0\0WAVE", b"RF64\0\0\0\0WAVE", b"OggS", b"fLaC", b"ID3\4\0\0", b"\xff\xfb"]
    ),
    data=st.binary(max_size=200),
    times=st.sampled_from([1, 1, 40]),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(tmp_path: Path, start: bytes, data: bytes, times: int) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(start + data * times)
    parse(path)


@given(
    texts=st.dictionaries(st.sampled_from(["TITLE", "ARTIST", "DATE", "TRACKNUMBER"]), st.text(max_size=30)),
    cover=st.sampled_from([None, COVER]),
    name=st.sampled_from(["wav", "flac"]),
    position=st.integers(0, 100),
    replaced=st.binary(max_size=4),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_texts_are_written(
    tmp_path: Path,
    texts: dict[str, str],
    cover: metadata.Cover | None,
    name: str,
    position: int,
    replaced: bytes,
) -> None:
    path = tmp_path / f"a.{name}"
    path.write_bytes(whole(name))
    cleaned = {key: metadata._clean(text) for key, text in texts.items()}
    written = metadata.Metadata({key: text for key, text in cleaned.items() if text}, cover)
    metadata.write_metadata(path, written)
    read = metadata.read_metadata(path)
    assert read.texts.get("ARTIST") == written.texts.get("ARTIST")
    assert (read.cover is None) == (cover is None)
    data = path.read_bytes()
    path.write_bytes(data[:position] + replaced + data[position + len(replaced) :])
    assert metadata.read_metadata(path).texts["TITLE"]


@pytest.mark.parametrize(
    "pattern",
    [
        b"RIFF\0\0\0\0WAVE",
        b"OggS\0\0" + b"\xff" * 21,
        b"ID3\4\0\0\0\0\0\0",
        b"fLaC\4\0\0\0",
        b"\xff\xfb\x90\0",
        b"\0",
    ],
)
def test_large_files_of_one_pattern_take_no_time(pattern: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"RIFF\0\0\0\0WAVE" * (pattern == b"\0") + pattern * (2_000_000 // len(pattern)))
    begin = time.process_time()
    parse(path)
    assert time.process_time() - begin < MAX_SECONDS
