"""Decode recordings front to back: the decoder is the truth, a header is a hint.

libsndfile decodes most formats; ffmpeg, where it is installed, those of phones and video sites. No decoder
seeks in a compressed stream, none stops where a header says that the recording ends, and what can be decoded
of a damaged file is decoded.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import soundfile

from tagbox.audio import flac, mpeg, ogg
from tagbox.audio.containers import DECODED_BY_LIBSNDFILE, HEADER_BYTES, container_of, id3_bytes
from tagbox.audio.continuation import ContinuedDecoder
from tagbox.audio.decoding import Decoder, Samples
from tagbox.audio.layouts import DEFAULT_MASKS, layout_mask, vorbis_to_wave, wave_mask
from tagbox.audio.quiet_libraries import CHATTY_FORMATS, decoders_silenced
from tagbox.audio.wave_chunks import data_bytes, find_chunk
from tagbox.errors import UnreadableRecordingError

BLOCK_SAMPLES = 1 << 16
"""Decoded at once where samples are skipped or counted."""

SEEKABLE_FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU")
"""libsndfile's formats in which seeking to a sample lands on that sample and costs nothing."""

_LINEAR = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
"""Codings in which each sample takes the same number of bytes."""

MAX_SAMPLES_PER_BYTE = 65_536
"""More than the tightest coding of silence in any format: a header that promises more is wrong."""

FLAC_BUFFER_BYTES = 1 << 16
"""Read at once from a FLAC file, which libsndfile asks for in smaller pieces."""

FFMPEG_COMMAND = "ffmpeg"
MAX_CHANNELS = 256
"""More are a damaged header, and a block of them fills the memory."""
PROBE_SECONDS = 60.0
"""ffprobe reads the beginning of a file, which takes it a fraction of a second."""


class _ForwardSoundFile(soundfile.SoundFile):  # type: ignore[misc]
    """A SoundFile that is read front to back: soundfile would seek after every block of a seekable one."""

    def seekable(self) -> bool:
        return False


class SndfileDecoder:
    """Decodes what libsndfile reads.

    Args:
        source: a path, an open file, or a file descriptor.
        mask: of the speakers, where the file names them.
        trim: samples to leave out at the beginning.
        on_close: called when this is closed.
        unread: what of the file libsndfile does not decode, if anything.
    """

    def __init__(
        self,
        source: str | bytes | int | IO[bytes],
        mask: int | None = None,
        trim: int = 0,
        on_close: Callable[[], None] | None = None,
        unread: str | None = None,
    ) -> None:
        # libsndfile is not to close a descriptor that it could not read.
        with decoders_silenced():
            self._file = _ForwardSoundFile(source, closefd=False)
        self._quiet = decoders_silenced if self._file.format in CHATTY_FORMATS else nullcontext
        self._on_close = on_close
        self._position = 0
        self._damage: str | None = None
        self._unread = unread
        self.rate, self.channels = int(self._file.samplerate), int(self._file.channels)
        self.promised: int | None = int(self._file.frames)
        # In these formats libsndfile counts what the file holds, whatever its header says.
        self.is_exact = self._file.format in SEEKABLE_FORMATS and self._file.subtype in _LINEAR
        self.format = str(self._file.format)
        self.mask = mask
        order = vorbis_to_wave(self.channels) if self._file.format == "OGG" else None
        if mask is None and self._file.format in ("OGG", "FLAC") and self.channels > 2:
            # Both name the speakers by the number of channels.
            self.mask = DEFAULT_MASKS.get(self.channels)
        self._order = None if order is None else list(order)
        self._ahead = np.zeros((0, self.channels), np.float32)
        self.skip(trim)

    @property
    def damage(self) -> str | None:
        """Return libsndfile's word for why it stopped; None where it came to the end."""
        return self._damage or self._unread

    def read(self, samples: int) -> Samples:
        """Decode the next `samples` samples; fewer, or none, at the end."""
        if self._file.format != "FLAC":
            return self._decode(samples)
        # Of a FLAC file whose header is damaged, libsndfile decodes more or less by how much it is asked for.
        while len(self._ahead) < samples and len(block := self._decode(BLOCK_SAMPLES)):
            self._ahead = np.concatenate([self._ahead, block])
        block, self._ahead = self._ahead[:samples], self._ahead[samples:]
        return block

    def _decode(self, samples: int) -> Samples:
        if self._damage is not None or samples <= 0:
            return np.empty((0, self.channels), np.float32)
        # Zeros: where libsndfile says that it has decoded more than it has.
        block = np.zeros((samples, self.channels), np.float32)
        try:
            with self._quiet():
                count = len(self._file.read(samples, dtype="float32", always_2d=True, out=block))
        except soundfile.LibsndfileError as error:
            # What was decoded before the fault is in the block; libsndfile knows how much that is.
            self._damage = _reason(error)
            count = min(max(0, int(self._file.tell()) - self._position), samples)
        self._position += count
        block = block[:count]
        return block if self._order is None else block[:, self._order]

    def skip(self, samples: int) -> None:
        """Move forwards by `samples`: seek where that is exact, and decode elsewhere."""
        if samples > 0 and self._file.format in SEEKABLE_FORMATS and self._seek(samples):
            return
        decode_away(self, samples)

    def close(self) -> None:
        """Close the file."""
        with self._quiet():
            self._file.close()
        if self._on_close is not None:
            self._on_close()
            self._on_close = None

    def _seek(self, samples: int) -> bool:
        target = min(self._position + samples, int(self._file.frames))
        try:
            self._position = int(self._file.seek(target))
        except soundfile.LibsndfileError:
            return False
        return True


class FfmpegDecoder:
    """Decodes the first audio stream of `path` by ffmpeg, through a pipe.

    Raises:
        UnreadableRecordingError: ffmpeg finds no audio.
    """

    def __init__(self, path: Path, program: str) -> None:
        self._path = path
        stream = _probe(path, program)
        self.rate, self.channels = int(stream["sample_rate"]), int(stream["channels"])
        self.is_exact = False
        self.promised: int | None = None
        with contextlib.suppress(KeyError, ValueError):
            self.promised = round(float(stream["duration"]) * self.rate)
        self.mask = layout_mask(str(stream.get("channel_layout", "")), self.channels)
        command = [program, *_FFMPEG_QUIET, *_input(path), "-map", "0:a:0", "-vn", "-sn", "-dn"]
        # Moments that jump back, as in chained streams, are no damage, and samples alone are asked for.
        command += ["-af", "asetpts=N/SR/TB", "-c:a", "pcm_f32le", "-f", "f32le", "-"]
        self._errors: list[bytes] = []
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._listening = threading.Thread(target=self._collect_errors, daemon=True)
        self._listening.start()
        self._finished = False

    @property
    def damage(self) -> str | None:
        """Return ffmpeg's first complaint; None where it had none."""
        if not self._finished:
            return None
        self._listening.join()
        lines = b"".join(self._errors).decode("utf-8", "replace").splitlines()
        return lines[0].rpartition("] ")[2] if lines else None

    def read(self, samples: int) -> Samples:
        """Decode the next `samples` samples; fewer, or none, at the end."""
        assert self._process.stdout is not None
        wanted = samples * self.channels * 4
        data = self._process.stdout.read(wanted)
        self._finished = self._finished or len(data) < wanted
        whole = len(data) // (4 * self.channels) * self.channels
        # A copy that can be written to: PyTorch warns of others.
        return np.frombuffer(bytearray(data), "<f4", whole).reshape(-1, self.channels)

    def skip(self, samples: int) -> None:
        """Move forwards by `samples`."""
        decode_away(self, samples)

    def close(self) -> None:
        """End ffmpeg."""
        self._process.kill()
        self._process.wait()
        self._listening.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _collect_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if len(self._errors) < 20:
                self._errors.append(line)


def open_decoder(path: Path) -> Decoder:
    """Open the recording at `path`, by what its first bytes say that it is.

    Raises:
        UnreadableRecordingError: neither libsndfile nor ffmpeg can decode it, or it would take ffmpeg, which
            is not installed.
    """
    container = _container(path)
    program = shutil.which(FFMPEG_COMMAND)
    left_out = ogg.left_out(path) if container == "ogg" else None
    if left_out is not None and program is not None:
        with contextlib.suppress(UnreadableRecordingError):
            return FfmpegDecoder(path, program)
    if container is None or container in DECODED_BY_LIBSNDFILE:
        try:
            if left_out is not None:
                return SndfileDecoder(os.fsencode(path), unread=left_out)
            decoder = _open_mp3(path) if container == "mp3" else _open_sndfile(path, container)
            if container is None and decoder.format == "MP3":
                # Frames behind something else; libsndfile guesses how many there are.
                decoder.close()
                decoder = _open_mp3(path)
        except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
            # soundfile raises TypeError or ValueError for headerless (.raw) files.
            with contextlib.suppress(UnreadableRecordingError):
                if program is not None:
                    return FfmpegDecoder(path, program)
            more = "" if program else "; more formats can be read where ffmpeg is installed"
            raise UnreadableRecordingError(
                f"{path} is no recording that can be read ({_reason(error)}); give wav, flac, ogg, mp3 or "
                f"aiff{more}"
            ) from error
        if program is None or decoder.is_exact:
            return decoder
        return ContinuedDecoder(decoder, partial(_open_ffmpeg, path, program))
    if program is None:
        raise UnreadableRecordingError(
            f"{path} is {_NAMES.get(container, container)}, which takes ffmpeg to decode, and it is not "
            "installed; install it (apt-get install ffmpeg, brew install ffmpeg, or ffmpeg.org), or convert "
            "the recording to wav"
        )
    return FfmpegDecoder(path, program)


_NAMES = {
    "mp4": "an MP4 or M4A file",
    "matroska": "a Matroska or WebM file",
    "asf": "a Windows Media file",
    "adts": "AAC audio",
    "ac3": "AC-3 audio",
}

_FFMPEG_QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error")


def _open_ffmpeg(path: Path, program: str) -> FfmpegDecoder | None:
    try:
        return FfmpegDecoder(path, program)
    except UnreadableRecordingError:
        return None


def _container(path: Path) -> str | None:
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        tag = id3_bytes(header)
        if tag:
            file.seek(tag)
            header = file.read(HEADER_BYTES)
    return container_of(header) or ("mp3" if tag else None)


def _open_sndfile(path: Path, container: str | None) -> SndfileDecoder:
    size = path.stat().st_size
    if container == "wav" and (data := _endless_wave(path)) is not None:
        position, following = data
        file = io.BufferedReader(_PatchedHeader(path, position, following.to_bytes(4, "little")))
        return SndfileDecoder(file, wave_mask(path), on_close=file.close)
    if container == "flac" and (header := flac.read_header(path)) is not None:
        file = io.BufferedReader(_PatchedHeader(path, header.position, header.patch), FLAC_BUFFER_BYTES)
        decoder = SndfileDecoder(file, on_close=file.close)
        decoder.promised = header.samples or None
        return decoder
    decoder = SndfileDecoder(os.fsencode(path), wave_mask(path) if container in ("wav", "rf64") else None)
    if decoder.promised is not None and not 0 < decoder.promised <= size * MAX_SAMPLES_PER_BYTE:
        decoder.promised = None
    return decoder


def _open_mp3(path: Path) -> SndfileDecoder:
    """Open an mp3 file; one whose frames are not those that its tag promises is decoded as a stream.

    Raises:
        ValueError: the file holds no frame.
        soundfile.SoundFileError: libsndfile cannot decode it.
    """
    stream = mpeg.read_stream(path)
    if stream is None or not stream.frames:
        raise ValueError("no MPEG frame is in it")
    if stream.is_intact:
        return _open_sndfile(path, "mp3")
    reading, writing = os.pipe()
    feeder = threading.Thread(target=_feed, args=(path, stream, writing), daemon=True)
    feeder.start()
    pipe = _Pipe(reading, feeder)
    trim = 0 if stream.delay is None else stream.delay + mpeg.DECODER_DELAY
    try:
        decoder = SndfileDecoder(reading, trim=trim, on_close=pipe.close)
    except soundfile.SoundFileError:
        pipe.close()
        raise
    decoder.promised = None
    if stream.promised is not None:
        samples = stream.promised * (stream.samples // stream.frames)
        decoder.promised = max(0, samples - (stream.delay or 0) - stream.padding)
    return decoder


@dataclass(frozen=True)
class _Pipe:
    """The reading end of a pipe, and the thread that writes to it until that end is closed."""

    reading: int
    feeder: threading.Thread

    def close(self) -> None:
        os.close(self.reading)
        self.feeder.join()


def _feed(path: Path, stream: mpeg.MpegStream, pipe: int) -> None:
    """Write the frames of `stream` to a pipe; a last one that is cut short is filled up with zeros."""
    # The decoder may be closed before the end.
    with contextlib.suppress(BrokenPipeError, OSError), os.fdopen(pipe, "wb") as out, path.open("rb") as file:
        for start, stop in stream.spans:
            file.seek(start)
            left = stop - start
            while left > 0 and (data := file.read(min(left, 1 << 16))):
                out.write(data)
                left -= len(data)
        out.write(bytes(stream.missing))


def _endless_wave(path: Path) -> tuple[int, int] | None:
    """Find a data chunk that was never given its size: where its size stands, and the bytes that follow."""
    position = find_chunk(path, b"data")
    if position is None or data_bytes(path):
        return None
    following = path.stat().st_size - position
    return (position - 4, following) if following else None


class _PatchedHeader(io.RawIOBase):
    """A file in which `patch` stands in place of the bytes at `offset`."""

    def __init__(self, path: Path, offset: int, patch: bytes) -> None:
        self._file = path.open("rb")
        self._offset, self._patch = offset, patch

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        start = self._file.tell()
        data = bytearray(self._file.read(len(buffer)))
        for i, byte in enumerate(self._patch):
            if 0 <= self._offset + i - start < len(data):
                data[self._offset + i - start] = byte
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def decode_away(decoder: Decoder, samples: int | None = None) -> int:
    """Decode the next `samples` samples, or all there are, keep none, and return how many there were."""
    decoded = 0
    while samples is None or decoded < samples:
        wanted = BLOCK_SAMPLES if samples is None else min(samples - decoded, BLOCK_SAMPLES)
        block = len(decoder.read(wanted))
        if not block:
            break
        decoded += block
    return decoded


def _probe(path: Path, program: str) -> dict[str, Any]:
    """Ask ffprobe, which comes with ffmpeg, for the first audio stream."""
    beside = Path(program).with_name("ffprobe")
    probe = str(beside) if beside.exists() else "ffprobe"
    command = [probe, *_FFMPEG_QUIET[1:], "-select_streams", "a:0", "-of", "json", "-show_entries"]
    command += ["stream=sample_rate,channels,channel_layout,duration", *_input(path)]
    stream: dict[str, Any] = {}
    # Where ffprobe fails it writes half an object, or says of a damaged stream what cannot be.
    with contextlib.suppress(ValueError, KeyError, IndexError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=PROBE_SECONDS
        )
        stream = json.loads(done.stdout)["streams"][0]
        if int(stream["sample_rate"]) > 0 and 0 < int(stream["channels"]) <= MAX_CHANNELS:
            return stream
    raise UnreadableRecordingError(
        f"{path} holds no audio that ffmpeg can decode; give a recording, for example wav, flac or mp3"
    )


def _input(path: Path) -> list[str]:
    """Name an input file such that nothing else can be opened by its name or by what it holds."""
    return ["-protocol_whitelist", "file,pipe", "-i", f"file:{path.absolute()}"]


def _reason(error: Exception) -> str:
    """Return libsndfile's own message, without the text that soundfile adds to it."""
    message = str(getattr(error, "error_string", None) or error)
    return message.removeprefix("Error : ").rstrip(".")
