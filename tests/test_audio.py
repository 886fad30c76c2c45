"""Recordings are read and written without loss or silent clipping, and bad files are refused in one line."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tagbox import audio
from tagbox.audio import resampling
from tagbox.errors import OutputExistsError, TagBoxError, UnreadableRecordingError, UnwritableOutputError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RATES = st.sampled_from([8000, 16000, 22050, 44100, 48000, 96000])


def integers(depth: int) -> st.SearchStrategy[np.ndarray]:
    shape = st.tuples(st.integers(1, 8), st.integers(1, 200))
    edge = 2 ** (depth - 1)
    return arrays(np.int64, shape, elements=st.integers(-edge, edge - 1))


def sine(frequency: float, rate: int, seconds: float = 0.5, amplitude: float = 0.5) -> torch.Tensor:
    t = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return (amplitude * torch.sin(2 * math.pi * frequency * t)).to(torch.float32)


def amplitude_at(x: torch.Tensor, frequency: float, rate: int) -> float:
    """The amplitude of a sine at `frequency`, from the middle of `x` (samples,), under a Hann window."""
    x = x[len(x) // 4 : -len(x) // 4].to(torch.float64)
    window = torch.hann_window(len(x), periodic=True, dtype=torch.float64)
    t = torch.arange(len(x), dtype=torch.float64) / rate
    turn = torch.exp(-2j * math.pi * frequency * t)
    return float(2 * (x * window * turn).sum().abs() / window.sum())


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("depth", [16, 24])
def test_integers_are_read_as_they_were_written(tmp_path: Path, suffix: str, depth: int) -> None:
    @settings(max_examples=25, deadline=None)
    @given(integers(depth), RATES)
    def check(values: np.ndarray, rate: int) -> None:
        x = torch.from_numpy(values / 2.0 ** (depth - 1)).to(torch.float32)
        path = tmp_path / f"x{suffix}"
        audio.write(path, x, rate, bits=str(depth), force=True)
        back = audio.read(path)
        assert back.rate == rate
        assert torch.equal(back.samples, x)

    check()


@settings(max_examples=50, deadline=None)
@given(
    x=arrays(
        np.float32, st.tuples(st.integers(1, 3), st.integers(1, 99)), elements=st.floats(-1, 1, width=32)
    ),
    bits=st.sampled_from(["16", "24", "float"]),
)
def test_rounding_is_at_most_half_a_step(
    tmp_path_factory: pytest.TempPathFactory, x: np.ndarray, bits: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "rounding.wav"
    audio.write(path, torch.from_numpy(x), 44100, bits=bits, force=True)  # type: ignore[arg-type]
    error = np.abs(audio.read(path).samples.numpy().astype(np.float64) - x)
    step = {"16": 2.0**-15, "24": 2.0**-23, "float": 0.0}[bits]
    # Full scale itself is one step above the largest integer.
    assert np.all(error <= np.where(x > 1 - step, step, step / 2))


def test_float_keeps_what_is_louder_than_full_scale(tmp_path: Path) -> None:
    x = 3 * torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    audio.write(tmp_path / "loud.wav", x, 44100, bits="float")
    assert torch.equal(audio.read(tmp_path / "loud.wav").samples, x)


@pytest.mark.parametrize("bits", ["16", "24"])
def test_audio_too_loud_for_integers_is_refused_and_no_file_is_left(tmp_path: Path, bits: str) -> None:
    with pytest.raises(UnwritableOutputError, match=r"\+6\.0 dB.*--bits float"):
        audio.write(tmp_path / "loud.wav", torch.tensor([[0.0, -1.9953]]), 44100, bits=bits)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "samples", "rate", "bits", "says"),
    [
        ("a.flac", torch.zeros(1, 9), 44100, "float", "FLAC holds integers"),
        ("a.mp3", torch.zeros(1, 9), 44100, "16", "end it in .wav or .flac"),
        ("a", torch.zeros(1, 9), 44100, "16", "end it in .wav or .flac"),
        ("a.wav", torch.zeros(1, 9), 44100, "32", "no bit depth '32'"),
        ("a.wav", torch.zeros(1, 0), 44100, "16", r"\(channels, samples\)"),
        ("a.wav", torch.zeros(1, 1, 9), 44100, "16", r"\(channels, samples\)"),
        ("a.wav", torch.tensor([[float("nan")]]), 44100, "float", "not finite"),
        ("a.flac", torch.zeros(9, 9), 44100, "16", "cannot hold 9 channels"),
        ("a.flac", torch.zeros(1, 9), 2_000_000, "16", "2000000 Hz"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(
    tmp_path: Path, name: str, samples: torch.Tensor, rate: int, bits: str, says: str
) -> None:
    with pytest.raises(TagBoxError, match=says):
        audio.write(tmp_path / name, samples, rate, bits=bits)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_only_with_force(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    audio.write(path, torch.zeros(1, 5), 8000)
    with pytest.raises(OutputExistsError, match="exists already"):
        audio.write(path, torch.ones(1, 7), 8000)
    assert audio.read(path).samples.shape == (1, 5)
    audio.write(path, torch.ones(7), 8000, force=True)
    assert audio.read(path).samples.shape == (1, 7)


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        (".wav", "PCM_U8", 0.02),
        (".wav", "PCM_16", 1e-4),
        (".wav", "PCM_24", 1e-6),
        (".wav", "PCM_32", 1e-6),
        (".wav", "FLOAT", 1e-6),
        (".wav", "DOUBLE", 1e-6),
        (".flac", "PCM_S8", 0.02),
        (".flac", "PCM_24", 1e-6),
        (".aiff", "PCM_16", 1e-4),
        (".ogg", "VORBIS", 0.03),
        (".mp3", "MPEG_LAYER_III", 0.03),
    ],
)
def test_every_format_of_libsndfile_is_read(
    tmp_path: Path, suffix: str, subtype: str, tolerance: float
) -> None:
    rate = 44100
    x = torch.stack([sine(441, rate), sine(1000, rate, amplitude=0.25)])
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, x.numpy().T, rate, subtype=subtype)
    back = audio.read(path)
    assert (back.rate, back.channels) == (rate, 2)
    assert back.duration == pytest.approx(0.5, abs=0.06)  # mp3 adds its own padding
    assert amplitude_at(back.samples[0], 441, rate) == pytest.approx(0.5, abs=tolerance)
    assert amplitude_at(back.samples[1], 1000, rate) == pytest.approx(0.25, abs=tolerance)


@pytest.mark.parametrize("name", ["duet/mixture.flac", "band/mixture.flac"])
def test_an_excerpt_is_a_slice_of_the_whole(name: str) -> None:
    whole = audio.read(EXAMPLES / name)
    part = audio.read(EXAMPLES / name, start=3.25, duration=1.5)
    first = round(3.25 * whole.rate)
    assert torch.equal(part.samples, whole.samples[:, first : first + round(1.5 * whole.rate)])
    late = audio.read(EXAMPLES / name, start=whole.duration - 0.5, duration=20)
    assert late.duration == pytest.approx(0.5, abs=1 / whole.rate)
    assert torch.equal(late.samples, whole.samples[:, -late.samples.shape[1] :])


@pytest.mark.parametrize("subtype", ["PCM_16", "VORBIS"])
def test_an_excerpt_of_one_sample(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / ("a.ogg" if subtype == "VORBIS" else "a.wav")
    soundfile.write(path, sine(100, 8000, 1.0).numpy(), 8000, subtype=subtype)
    assert audio.read(path, start=0.5, duration=1e-9).samples.shape == (1, 1)


def test_silence_and_a_single_sample_are_recordings(tmp_path: Path) -> None:
    audio.write(tmp_path / "silent.wav", torch.zeros(1, 100), 8000)
    assert not audio.read(tmp_path / "silent.wav").samples.any()
    audio.write(tmp_path / "one.wav", torch.full((2, 1), 0.5), 8000)
    assert audio.read(tmp_path / "one.wav").samples.tolist() == [[0.5], [0.5]]


def bad_file(folder: Path, kind: str) -> Path | str:
    path = folder / "a.wav"
    if kind == "folder":
        return folder
    if kind == "address":
        return "https://example.com/song.mp3"
    if kind == "no bytes":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("Dear diary, today I am a recording.\n" * 50)
    elif kind == "text called mp3":
        path = folder / "a.mp3"
        path.write_text("<html><body>Not found</body></html>\n" * 50)
    elif kind == "raw":
        path = folder / "a.raw"
        path.write_bytes(bytes(1000))
    elif kind == "no samples":
        soundfile.write(path, np.zeros((0, 1)), 8000)
    elif kind == "NaN":
        soundfile.write(path, np.array([0.0, np.nan, np.inf]), 8000, subtype="FLOAT")
    elif kind == "header only":
        soundfile.write(path, np.zeros(1000), 8000)
        path.write_bytes(path.read_bytes()[:30])
    elif kind == "endless":
        path = folder / "a.flac"
        sound = bytearray((EXAMPLES / "duet/mixture.flac").read_bytes())
        sound[21:26] = b"\xff" * 5  # channels (8), bits (32) and samples (2^36 - 1) in STREAMINFO
        path.write_bytes(sound)
    elif kind == "cut off":
        path = folder / "a.flac"
        path.write_bytes((EXAMPLES / "duet/mixture.flac").read_bytes()[:20000])
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "there is no file"),
        ("folder", "is a folder"),
        ("address", "is an address"),
        ("no bytes", "is empty"),
        ("text", "is a text file"),
        ("text called mp3", "is a text file"),
        ("raw", "no recording that can be read"),
        ("no samples", "holds no audio"),
        ("NaN", "2 values that are not finite"),
        ("header only", "no recording that can be read|holds no audio"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, kind: str, says: str) -> None:
    with pytest.raises(UnreadableRecordingError, match=says) as caught:
        audio.read(bad_file(tmp_path, kind))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["endless", "cut off"])
def test_a_lying_header_gives_what_can_be_decoded_or_one_line(tmp_path: Path, kind: str) -> None:
    try:
        recording = audio.read(bad_file(tmp_path, kind))
    except TagBoxError as error:
        assert "\n" not in str(error)
    else:
        assert 0 < recording.duration < 20
        assert recording.note is not None and "\n" not in recording.note


@pytest.mark.parametrize(
    ("start", "duration", "says"),
    [
        (14.5, None, "lasts 14.50 s"),
        (1e9, None, "lasts 14.50 s"),
        (-1, None, "cannot start at -1 s"),
        (math.nan, None, "cannot start"),
        (0, 0, "cannot last 0 s"),
        (0, -1, "cannot last -1 s"),
        (0, math.inf, "cannot last"),
    ],
)
def test_an_excerpt_outside_the_recording_is_refused(start: float, duration: float | None, says: str) -> None:
    with pytest.raises(TagBoxError, match=says):
        audio.read(EXAMPLES / "duet/mixture.flac", start, duration)


PAIRS = [
    (44100, 16000),
    (16000, 44100),
    (48000, 16000),
    (22050, 16000),
    (8000, 16000),
    (44101, 16000),
    (37800, 16000),
]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_a_sine_stays_the_same_sine(old: int, new: int) -> None:
    for frequency in (100.0, 1000.0, 3000.0):
        y = audio.resample(sine(frequency, old), old, new)
        assert amplitude_at(y, frequency, new) == pytest.approx(0.5, abs=2e-3)
        # What is left once the sine is taken away is noise of the resampler.
        t = torch.arange(len(y), dtype=torch.float64) / new
        rest = y.to(torch.float64) - 0.5 * torch.sin(2 * math.pi * frequency * t)
        middle = rest[len(rest) // 4 : -len(rest) // 4]
        assert float(middle.abs().max()) < 5e-3


def test_frequencies_above_the_new_rates_band_are_removed() -> None:
    y = audio.resample(sine(10_000, 44100), 44100, 16000)
    assert float(y[800:-800].abs().max()) < 1e-3  # more than 50 dB below the sine


@pytest.mark.parametrize(("old", "new"), [(44100, 16000), (16000, 44100), (48000, 44100)])
def test_resampling_agrees_with_scipy(old: int, new: int) -> None:
    music = audio.to_mono(audio.read(EXAMPLES / "band/mixture.flac", duration=1.0).samples)
    # The two filters differ near the lower rate's band edge, so nothing is left there.
    lowpass = scipy.signal.butter(12, 5000, fs=old, output="sos")
    x = torch.from_numpy(scipy.signal.sosfiltfilt(lowpass, music.numpy()).copy())
    ours = audio.resample(x, old, new).numpy()
    divisor = math.gcd(old, new)
    theirs = scipy.signal.resample_poly(x.numpy(), new // divisor, old // divisor)
    assert len(ours) == len(theirs)
    inner = slice(500, -500)
    error = np.sqrt(np.mean((ours - theirs)[inner] ** 2) / np.mean(theirs[inner] ** 2))
    assert error < 3e-3


@settings(max_examples=60, deadline=None)
@given(samples=st.integers(1, 400), old=st.sampled_from([8000, 11025, 16000, 44100, 44101]),
       new=st.sampled_from([8000, 16000, 22050, 44100]))  # fmt: skip
def test_resampled_lengths_are_rounded_up(samples: int, old: int, new: int) -> None:
    y = audio.resample(torch.ones(2, samples), old, new)
    assert y.shape == (2, -(-samples * new // old))
    assert torch.isfinite(y).all()


@pytest.mark.parametrize("samples", [210_244, 441 * 30_000 + 1])
def test_lengths_just_above_a_whole_number_are_resampled(samples: int) -> None:
    """160 / 441 of these is a little more than whole, less than float32 tells."""
    sound = torch.sin(torch.arange(samples) / 20)
    resampled = audio.resample(sound, 44_100, 16_000)
    assert len(resampled) == -(-samples * 160 // 441)
    torch.testing.assert_close(resampled[:70_000], audio.resample(sound[:-1], 44_100, 16_000)[:70_000])


def test_resampling_is_differentiable_and_its_kernel_is_cached() -> None:
    x = torch.randn(1, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: audio.resample(z, 3, 2), x.requires_grad_())
    audio.resample(x, 44100, 16000)
    made = resampling._resampler.cache_info().misses
    audio.resample(x, 44100, 16000)
    assert resampling._resampler.cache_info().misses == made


def test_a_sample_rate_of_zero_is_refused() -> None:
    with pytest.raises(TagBoxError, match="positive"):
        audio.resample(torch.zeros(5), 0, 16000)


def test_mono_is_the_mean() -> None:
    x = torch.tensor([[[1.0, 0.0], [0.0, 0.5]]])
    assert audio.to_mono(x).tolist() == [[0.5, 0.25]]


def test_a_fingerprint_is_the_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert audio.fingerprint(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("piece", ["duet", "band", "song"])
def test_the_examples_stems_add_up(piece: str) -> None:
    stems = [p for p in sorted((EXAMPLES / piece).glob("*.flac")) if p.stem != "mixture"]
    total = sum(soundfile.read(p, dtype="int16", always_2d=True)[0].astype(int) for p in stems)
    mixture, rate = soundfile.read(EXAMPLES / piece / "mixture.flac", dtype="int16", always_2d=True)
    assert rate == 44100
    assert len(stems) >= 2
    assert np.array_equal(total, mixture)
    assert np.abs(mixture.astype(int)).max() > 2**14


@pytest.mark.integration
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff"])
def test_a_damaged_file_is_read_or_refused_but_never_a_traceback(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, sine(441, 44100, 0.2).numpy(), 44100)
    sound = path.read_bytes()

    @settings(max_examples=40, deadline=None)
    @given(
        st.integers(1, len(sound)), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6)
    )
    def check(length: int, changes: list[tuple[int, int]]) -> None:
        broken = bytearray(sound[:length])
        for at, value in changes:
            if at < length:
                broken[at] = value
        path.write_bytes(broken)
        try:
            recording = audio.read(path)
        except TagBoxError as error:
            assert "\n" not in str(error)
        else:
            assert recording.samples.shape[1] > 0
            assert torch.isfinite(recording.samples).all()

    check()
