"""Title, artist and cover art: read from files as programs write them, carried over to the stems."""

import random
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tinytag import TinyTag

import tagbox
from tagbox import audio
from tagbox.audio import metadata as metadata_module
from tagbox.audio.decoders import FFMPEG_COMMAND
from tagbox.audio.metadata import Cover, Metadata, read_metadata, write_metadata
from tagbox.audio.wave_chunks import append_chunks, find_chunk

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
BAND = EXAMPLES / "band" / "mixture.flac"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000"
    "000301010018dd8db00000000049454e44ae426082"
)
"""One red pixel."""
TEXTS = {
    "TITLE": "Lied ohne Wörter 絆",
    "ARTIST": "The \u201cBand\u201d",
    "ALBUM": "Album",
    "ALBUMARTIST": "Various",
    "GENRE": "Folk",
    "DATE": "1999",
    "TRACKNUMBER": "3",
    "TRACKTOTAL": "12",
}
FULL = Metadata(TEXTS, Cover("image/png", PNG))
OPTIONS = {
    "mp3": ("-c:a", "libmp3lame", "-id3v2_version", "3"),
    "m4a": ("-c:a", "aac"),
    "flac": (),
    "wma": (),
    "ogg": ("-c:a", "libvorbis"),
    "opus": ("-c:a", "libopus"),
    "aiff": ("-write_id3v2", "1"),
}
WITH_COVER = ("mp3", "m4a", "flac")


def write_noise(path: Path, samples: int = 4001, channels: int = 1, bits: str = "24") -> torch.Tensor:
    values = torch.rand(channels, samples, generator=torch.Generator().manual_seed(0)) - 0.5
    audio.write(path, values, 8000, bits=bits)  # type: ignore[arg-type]
    return audio.read(path).samples


def ffmpeg_tags(path: Path, ending: str) -> Path:
    """A file with TEXTS, and with the cover where the format's usual place for it is known to ffmpeg."""
    names = {"ALBUMARTIST": "album_artist", "TRACKNUMBER": "track"}
    given = {names.get(name, name.lower()): text for name, text in TEXTS.items() if name != "TRACKTOTAL"}
    given["track"] = "3/12"
    target = path / f"tagged.{ending}"
    (path / "cover.png").write_bytes(PNG)
    inputs = ["-t", "1", "-i", str(BAND)]
    if ending in WITH_COVER:
        inputs += ["-i", str(path / "cover.png"), "-map", "0:a", "-map", "1:v", "-c:v", "copy"]
        inputs += ["-disposition:v:0", "attached_pic"]
    written = [part for name, text in given.items() for part in ("-metadata", f"{name}={text}")]
    command = [FFMPEG_COMMAND, "-y", "-v", "error", *inputs, *OPTIONS[ending], *written, str(target)]
    subprocess.run(command, check=True)
    return target


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("ending", OPTIONS)
def test_metadata_that_ffmpeg_writes_are_read(ending: str, tmp_path: Path) -> None:
    read = read_metadata(ffmpeg_tags(tmp_path, ending))
    # ffmpeg gives these other names in wma than players know.
    left_out = {"wma": ("DATE", "TRACKNUMBER", "TRACKTOTAL")}.get(ending, ())
    assert read.texts == {name: text for name, text in TEXTS.items() if name not in left_out}
    assert read.cover == (Cover("image/png", PNG) if ending in WITH_COVER else None)


@pytest.mark.parametrize(("ending", "bits"), [("flac", "24"), ("wav", "16"), ("wav", "24"), ("wav", "float")])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_written_is_read_back_and_no_sample_changes(
    ending: str, bits: str, channels: int, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{ending}"
    before = write_noise(path, channels=channels, bits=bits)
    for metadata in (FULL, Metadata({"TITLE": "short"}), Metadata({"TITLE": "x" * 70_000})):
        path.unlink()
        write_noise(path, channels=channels, bits=bits)
        write_metadata(path, metadata)
        assert torch.equal(audio.read(path).samples, before)
        info = soundfile.info(str(path))
        assert (info.frames, info.channels) == (4001, channels)
        if metadata is FULL:
            assert read_metadata(path) == FULL
            assert TinyTag.get(path).title == TEXTS["TITLE"]


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("ending", ["flac", "wav"])
def test_other_programs_read_what_is_written(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    write_noise(path)
    write_metadata(path, FULL)
    command = ["ffprobe", "-v", "error", "-show_entries", "format_tags:stream=codec_name", "-of", "flat"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for text in (TEXTS["TITLE"], TEXTS["ARTIST"], TEXTS["ALBUM"], "1999", "3", "png"):
        assert text in done.stdout
    with soundfile.SoundFile(path) as file:
        assert (file.title, file.album, file.genre) == (TEXTS["TITLE"], "Album", "Folk")
    decoded = subprocess.run(
        [FFMPEG_COMMAND, "-v", "error", "-i", str(path), "-map", "0:a", "-f", "s32le", "-"],
        capture_output=True,
        check=True,
    )
    ours = audio.read(path).samples[0].double() * 2**31
    np.testing.assert_array_equal(np.frombuffer(decoded.stdout, "<i4"), ours.numpy())


def test_files_of_more_than_four_gigabytes_keep_their_size_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with soundfile.SoundFile(path, "w", 8000, 1, "FLOAT", format="RF64") as file:
        file.write(np.linspace(-1, 1, 101, dtype=np.float32))
    write_metadata(path, FULL)
    place = find_chunk(path, b"ds64")
    if path.read_bytes().startswith(b"RF64"):  # libsndfile writes RIFF where that is enough
        assert place is not None
        assert int.from_bytes(path.read_bytes()[place : place + 8], "little") == path.stat().st_size - 8
    assert soundfile.info(str(path)).frames == 101
    size = path.stat().st_size
    with path.open("r+b") as sparse:
        sparse.write(b"RIFF")
        sparse.truncate(2**32 - 4)
    append_chunks(path, {b"LIST": bytes(1000)})
    assert path.stat().st_size == 2**32 - 4 > size


@pytest.mark.parametrize("ending", ["flac", "wav"])
def test_damaged_metadata_are_none_and_never_an_error(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    write_noise(path, 400)
    write_metadata(path, FULL)
    whole = path.read_bytes()
    draw = random.Random(0)
    stem = tmp_path / f"stem.{ending}"
    write_noise(stem, 10)
    blank = stem.read_bytes()
    for i in range(100):
        data = bytearray(whole)
        for _ in range(1 + i % 8):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(data[: draw.randrange(1, len(data))] if i % 3 == 0 else data)
        read = read_metadata(path)
        assert read.texts["TITLE"]
        stem.write_bytes(blank)
        write_metadata(stem, read.of_stem("violin"))
        assert read_metadata(stem).texts["TITLE"].endswith("(violin)")


def test_a_picture_that_is_none_and_texts_that_no_player_shows(tmp_path: Path) -> None:
    path = tmp_path / "song\udce9.flac"
    write_noise(path)
    assert read_metadata(path) == Metadata({"TITLE": "song\ufffd"})
    strange = Metadata({"TITLE": "a\0b\nc" + "d" * 5000, "ARTIST": " "}, Cover("image/png", b"<script>"))
    write_metadata(path, strange)
    read = read_metadata(path)
    assert read.cover is None and "ARTIST" not in read.texts
    assert len(read.texts["TITLE"]) <= metadata_module.MAX_CHARACTERS
    assert read.texts["TITLE"].isprintable()


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_stems_have_the_recordings_metadata_and_the_same_bytes_each_time(format: str, tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    cut = audio.read(BAND, 3, 1)
    audio.write(path, cut.samples, cut.rate, metadata=FULL)
    bare = tmp_path / "bare.flac"
    audio.write(bare, cut.samples, cut.rate)
    settings = {"components": 4, "factorisations": 1, "format": format}
    folders = [tmp_path / name for name in ("one", "two", "none")]
    for folder, source in zip(folders, (path, path, bare), strict=True):
        tagbox.separate_file(source, folder, ["drums"], **settings)  # type: ignore[arg-type]
        if folder == folders[0]:
            time.sleep(1.1)  # libsndfile writes the second into float files
    for name in ("drums", "residual"):
        stems = [folder / f"{name}.{format}" for folder in folders]
        assert stems[0].read_bytes() == stems[1].read_bytes()
        assert read_metadata(stems[0]) == FULL.of_stem(name)
        assert read_metadata(stems[2]) == Metadata({"TITLE": f"bare ({name})"})
        assert torch.equal(audio.read(stems[0]).samples, audio.read(stems[2]).samples)
