"""Decoders: what a file's bytes hold, sample for sample as ffmpeg decodes it, whatever its header says."""

import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tagbox import audio
from tagbox.audio import decoders, mpeg
from tagbox.audio.containers import container_of
from tagbox.audio.decoders import open_decoder
from tagbox.audio.layouts import layout_mask, set_wave_mask, wave_mask
from tagbox.audio.readers import FileReader
from tagbox.errors import UnreadableRecordingError

BAND = Path(__file__).resolve().parents[1] / "examples" / "band" / "mixture.flac"

TOLERANCE = 1e-5
"""Of decoders that compute in float32 by different orders of sums: mp3, Vorbis, Opus."""


def ffmpeg_writes(target: Path, *options: str, seconds: float = 2) -> Path:
    command = ["ffmpeg", "-y", "-v", "error", "-t", str(seconds), "-i", str(BAND), *options, str(target)]
    subprocess.run(command, check=True)
    return target


def as_ffmpeg_decodes(path: Path, channels: int) -> np.ndarray:
    command = ["ffmpeg", "-v", "quiet", "-i", f"file:{path}", "-f", "f32le", "-c:a", "pcm_f32le", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    return np.frombuffer(done.stdout, "<f4").reshape(-1, channels)


def decoded(path: Path) -> np.ndarray:
    with closing(open_decoder(path)) as decoder:
        blocks = []
        while len(block := decoder.read(10_000)):
            blocks.append(block)
    return np.concatenate(blocks)


def without_length(path: Path) -> Path:
    """A FLAC file as programs write it to a pipe: the number of samples in its STREAMINFO is 0."""
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    return path


def without_info_frame(path: Path) -> Path:
    """An mp3 file as programs write it to a pipe: no frame says how many there are."""
    stream = mpeg.read_stream(path)
    assert stream is not None and stream.promised is not None
    path.write_bytes(path.read_bytes()[stream.spans[0][0] :])
    return path


def with_wave_size(path: Path, size: int) -> Path:
    """A WAVE file as programs write it to a pipe, who do not know yet how long it will be."""
    data = bytearray(path.read_bytes())
    position = data.index(b"data") + 4
    data[4:8] = data[position : position + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)
    return path


def make(kind: str, folder: Path) -> Path:
    mp3 = ("-c:a", "libmp3lame", "-q:a", "2")
    if kind == "flac of unknown length":
        return without_length(ffmpeg_writes(folder / "a.flac"))
    if kind == "mp3 of unknown length":
        return without_info_frame(ffmpeg_writes(folder / "a.mp3", *mp3))
    if kind == "two mp3 files in one":
        one, two = (ffmpeg_writes(folder / f"{i}.mp3", "-ss", str(i), *mp3) for i in range(2))
        one.write_bytes(one.read_bytes() + two.read_bytes())
        return one
    if kind.startswith("two ogg files in one"):
        codec = kind.split()[-1]
        one, two = (ffmpeg_writes(folder / f"{i}.ogg", "-ss", str(i), "-c:a", codec) for i in range(2))
        one.write_bytes(one.read_bytes() + two.read_bytes())
        return one
    if kind == "flac of half its length":
        path = ffmpeg_writes(folder / "a.flac")
        data = bytearray(path.read_bytes())
        data[22:26] = (44100).to_bytes(4)
        path.write_bytes(data)
        return path
    if kind == "mp3 cut short":
        path = ffmpeg_writes(folder / "a.mp3", *mp3)
        path.write_bytes(path.read_bytes()[:20_000])
        return path
    if kind == "flac cut short":
        path = ffmpeg_writes(folder / "a.flac")
        path.write_bytes(path.read_bytes()[:60_000])
        return path
    if kind.startswith("wav of size"):
        return with_wave_size(ffmpeg_writes(folder / "a.wav"), int(kind.split()[-1], 0))
    if kind == "wav cut short":
        path = ffmpeg_writes(folder / "a.wav")
        path.write_bytes(path.read_bytes()[:100_001])
        return path
    if kind == "m4a called mp3":
        return ffmpeg_writes(folder / "a.m4a", "-c:a", "aac").rename(folder / "a.mp3")
    if kind == "5.1 in Vorbis":
        pan = "pan=5.1|c0=c0|c1=c1|c2=0.5*c0|c3=0.1*c0|c4=0.3*c1|c5=0.3*c0"
        return ffmpeg_writes(folder / "a.ogg", "-c:a", "libvorbis", "-af", pan)
    name, *options = kind.split()
    return ffmpeg_writes(folder / f"a.{name}", *options)


UNKNOWN_LENGTHS = ("flac of unknown length", "mp3 of unknown length")
DAMAGED = ("mp3 cut short", "flac cut short", "wav cut short")
KINDS = (
    "wav", "flac", "ogg", "opus", "aiff", "mp3", "mp3 -ar 22050", "mp3 -b:a 128k", "m4a", "m4a -c:a alac",
    "aac", "mkv", "webm", "wma", "ac3", *UNKNOWN_LENGTHS, "two mp3 files in one",
    "two ogg files in one libvorbis", "two ogg files in one libopus", "flac of half its length",
    "wav of size 0", "wav of size 0xffffffff", "wav of size 9999999", "m4a called mp3", "5.1 in Vorbis",
    *DAMAGED,
)  # fmt: skip


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("kind", KINDS)
def test_all_that_ffmpeg_decodes_is_decoded(kind: str, tmp_path: Path) -> None:
    path = make(kind, tmp_path)
    ours = decoded(path)
    theirs = as_ffmpeg_decodes(path, ours.shape[1])
    assert len(ours) == len(theirs) > 10_000
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)
    whole = audio.read(path)
    assert whole.samples.shape == (ours.shape[1], len(ours))
    expected = {
        "flac of unknown length": "does not say how long",
        "mp3 of unknown length": "does not say how long",
        "two mp3 files in one": "says that it lasts 2.00 s; the 3.0",
        "flac of half its length": "says that it lasts 1.00 s; the 2.00 s",
        "two ogg files in one libvorbis": "says that it lasts",
        "two ogg files in one libopus": "says that it lasts",
        "mp3 cut short": "says that it lasts 2.00 s; the 0.",
        "flac cut short": "cannot be decoded to its end",
    }.get(kind)
    assert (expected in str(whole.note)) if expected else True
    if kind in ("wav", "flac", "ogg", "opus", "aiff", "mp3", "m4a -c:a alac"):
        assert whole.note is None


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("kind", [*UNKNOWN_LENGTHS, "two mp3 files in one", "m4a"])
def test_excerpts_and_spans_are_those_of_the_whole(kind: str, tmp_path: Path) -> None:
    path = make(kind, tmp_path)
    whole = audio.read(path).samples
    excerpt = audio.read(path, 0.5, 0.25).samples
    first = 22_050
    torch.testing.assert_close(excerpt, whole[:, first : first + 11_025], atol=0, rtol=0)
    reader = FileReader.of(path, 0.5)
    assert reader.samples == whole.shape[1] - first
    spans = [(0, 5_000), (2_500, 9_000), (20_000, reader.samples)]
    for (start, stop), part in zip(spans, reader.read_spans(spans), strict=True):
        torch.testing.assert_close(part, whole[:, first + start : first + stop], atol=0, rtol=0)


@pytest.mark.parametrize("kind", ["m4a", "webm"])
def test_without_ffmpeg_one_line_says_that_it_is_needed(
    kind: str, ffmpeg: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(kind, tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UnreadableRecordingError, match="takes ffmpeg") as caught:
        audio.read(path)
    assert "\n" not in str(caught.value)


def test_of_a_chain_the_first_recording_is_read_without_ffmpeg_and_a_note_says_so(
    ffmpeg: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make("two ogg files in one libvorbis", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    recording = audio.read(path)
    assert recording.duration == 2
    assert recording.note is not None and "takes ffmpeg" in recording.note


def test_ffmpeg_opens_the_named_file_and_nothing_that_its_name_or_text_asks_for(
    ffmpeg: None, tmp_path: Path
) -> None:
    """A playlist, or a name with a protocol in it, must not make ffmpeg open something else."""
    secret = tmp_path / "secret.wav"
    soundfile.write(secret, np.zeros(100), 8_000)
    playlist = tmp_path / "a.m3u8"
    playlist.write_bytes(b"#EXTM3U\n#EXTINF:1,\n" + bytes(secret) + b"\n#EXT-X-ENDLIST\n\x00\xff")
    with pytest.raises(UnreadableRecordingError):
        audio.read(playlist)


def test_a_decoder_that_is_closed_early_leaves_nothing_running(ffmpeg: None, tmp_path: Path) -> None:
    for kind in ("mp3 of unknown length", "m4a"):
        decoder = open_decoder(make(kind, tmp_path))
        decoder.read(100)
        decoder.close()
        decoder.close()
        if isinstance(decoder, decoders.FfmpegDecoder):
            assert decoder._process.poll() is not None


@pytest.mark.parametrize(
    ("header", "container"),
    [
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "wav"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "rf64"),
        (b"fLaC\x00\x00\x00\x22", "flac"),
        (b"OggS\x00\x02", "ogg"),
        (b"FORM\x00\x00\x00\x00AIFF", "aiff"),
        (b"\x00\x00\x00\x20ftypM4A ", "mp4"),
        (b"\x1a\x45\xdf\xa3\x9f", "matroska"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6", "asf"),
        (b"\xff\xfb\x90\x64\x00", "mp3"),
        (b"\xff\xf1\x50\x80\x00", "adts"),
        (b"\x0b\x77\x12\x34", "ac3"),
        (b"MThd\x00\x00\x00\x06", None),
        (b"", None),
    ],
)
def test_containers_are_known_by_their_first_bytes(header: bytes, container: str | None) -> None:
    assert container_of(header) == container


def test_vorbis_channels_come_in_the_order_of_wave_files(tmp_path: Path) -> None:
    """Each channel has a tone of its own; the stream's order is left, centre, right, back, back, low."""
    t = np.arange(24_000) / 24_000
    tones = [0.3 * np.sin(2 * np.pi * f * t) for f in (300, 500, 700, 900, 1_100, 1_300)]
    soundfile.write(tmp_path / "a.ogg", np.stack(tones, 1), 24_000)
    recording = audio.read(tmp_path / "a.ogg")
    peaks = torch.fft.rfft(recording.samples).abs().argmax(dim=1).tolist()
    assert peaks == [300, 700, 500, 1_300, 900, 1_100]
    assert recording.mask == 0x3F


def test_masks_are_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    audio.write(path, torch.zeros(6, 100), 44_100, mask=0x60F)
    assert wave_mask(path) == 0x60F
    assert soundfile.info(path).format == "WAVEX"
    assert audio.read(path).mask == 0x60F
    plain = tmp_path / "b.wav"
    audio.write(plain, torch.zeros(2, 100), 44_100)
    before = plain.read_bytes()
    set_wave_mask(plain, 3)
    assert plain.read_bytes() == before and wave_mask(plain) is None


@pytest.mark.parametrize(
    ("name", "channels", "mask"), [("5.1", 6, 0x3F), ("5.1(side)", 6, 0x60F), ("quad", 4, 0x33)]
)
def test_layouts_of_ffmpeg_have_masks(name: str, channels: int, mask: int) -> None:
    assert layout_mask(name, channels) == mask
    assert layout_mask(name, channels + 1) is None
    assert layout_mask("stereo", 2) is None


@pytest.mark.parametrize("seconds", [0.5, 3.0])
@pytest.mark.parametrize("rate", [44_100, 22_050, 8_000])
def test_mp3_frames_are_counted_as_libsndfile_decodes_them(rate: int, seconds: float, tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(rate * seconds))
    soundfile.write(path, noise, rate)
    stream = mpeg.read_stream(path)
    assert stream is not None and stream.is_intact
    assert stream.samples - (stream.delay or 0) - stream.padding == len(decoded(path)) == len(noise)


def test_garbage_and_tags_between_frames_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(44_100), 44_100)
    stream = mpeg.read_stream(path)
    assert stream is not None
    data, middle = path.read_bytes(), stream.spans[0][0] + 10 * 104
    tag = b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128)
    frames = len(list(mpeg._frames(data)))
    at = next(frame.offset for frame in mpeg._frames(data) if frame.offset >= middle)
    mixed = tag + data[:at] + b"junk\xff" * 20 + tag + data[at:] + b"TAG" + bytes(125)
    assert len(list(mpeg._frames(mixed))) == frames
