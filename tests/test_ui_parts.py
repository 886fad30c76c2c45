"""The parts of the web page that need no browser."""

import dataclasses
import io
import math
import os
import socket
import sys
import threading
import time
import zipfile
from concurrent.futures import CancelledError
from pathlib import Path

import gradio
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from tagbox import audio, presets
from tagbox.audio.readers import FileReader
from tagbox.errors import TagBoxError
from tagbox.methods.steering import OnStep, Step
from tagbox.models import load_tagger
from tagbox.pipeline.streaming import OnSegment
from tagbox.presets import Settings
from tagbox.settings import PUBLISHED_FIELDS
from tagbox.tagging import predict_windows
from tagbox.tags.vocabularies import TAGS
from tagbox.ui import form, peaks, plots, server, spectrograms, suggestions
from tagbox.ui.archive import stream_zip
from tagbox.ui.examples import separation_examples, transfer_examples
from tagbox.ui.jobs import Job, JobQueue, JobStatus
from tagbox.ui.limits import Limits, without_folder
from tagbox.ui.mixdown import Level, save_mix
from tagbox.ui.processing import JobRequest, JobResult
from tagbox.ui.progress_html import ProgressView
from tagbox.ui.session_files import JobSignals, SessionFolder
from tagbox.ui.songs import Song, SongLibrary
from tagbox.ui.tracks import FileTrack, GrowingTrack, OnTracks, grow

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"


def step(index: int, loss: float = 0.0, probability: float = 0.5) -> Step:
    return Step(index, loss, (torch.full((1, 50), probability),), float(index))


def test_errors_name_the_file_without_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "private" / "song.mp3"
    path.parent.mkdir()
    path.write_text("words")
    with pytest.raises(TagBoxError) as refused:
        Limits().read_file(path)
    message = without_folder(refused.value, path)
    assert message.startswith("song.mp3 is a text file")
    assert str(tmp_path) not in message


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [(Limits(seconds=14), "takes 14 s at the most"), (Limits(megabytes=0), "larger than 0 MB")],
)
def test_a_recording_beyond_a_limit_is_refused_by_its_header(limits: Limits, complaint: str) -> None:
    with pytest.raises(TagBoxError, match=complaint):
        limits.check_file(DUET)
    Limits().check_file(DUET)


def test_a_recording_with_many_channels_is_refused_sooner(tmp_path: Path) -> None:
    path = tmp_path / "wide.wav"
    soundfile.write(path, torch.zeros(1000, 200).numpy(), 1000)
    with pytest.raises(TagBoxError, match="200 channels"):
        Limits(seconds=1).check_file(path)


def quick_process(
    request: JobRequest, folder: Path, on_tracks: OnTracks, on_step: OnStep, on_segment: OnSegment
) -> JobResult:
    folder.mkdir()
    (folder / "violin.wav").write_bytes(b"sound")
    return JobResult(folder, {}, {}, "steps")


def ended_song(library: SongLibrary) -> Song:
    song = library.submit(JobRequest(DUET, ("violin",), "default"), quick_process)
    song.job.result()
    return song


def test_songs_are_found_by_token_and_their_files_by_name_only(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    with JobQueue(4) as queue:
        library = SongLibrary(tmp_path / "songs", queue)
        (tmp_path / "songs").mkdir()
        song = ended_song(library)
    (song.folder / "link").symlink_to("/etc/hostname")
    assert library.find(song.token) is song and library.find("0" * 32) is None
    assert song.find_file("violin.wav") == song.folder / "violin.wav"
    for wrong in ("../../secret", "..", "link", "", "violin"):
        assert song.find_file(wrong) is None


def test_songs_that_nobody_uses_are_removed(tmp_path: Path) -> None:
    with JobQueue(9) as queue:
        library = SongLibrary(tmp_path, queue)
        first, second, third = (ended_song(library) for _ in range(3))
        library.find(first.token)
        library.prune(most=2)
        assert [library.find(song.token) for song in (first, second, third)] == [first, None, third]
        assert first.folder.exists() and not second.folder.exists()
        library.prune(kept_seconds=-1)
        assert library.find(first.token) is None and not first.folder.exists()


def test_a_song_that_runs_is_cancelled_before_its_files_are_removed(tmp_path: Path) -> None:
    def process(
        request: JobRequest, folder: Path, on_tracks: OnTracks, on_step: OnStep, on_segment: OnSegment
    ) -> JobResult:
        folder.mkdir()
        endless(on_step, on_segment)
        return JobResult(folder, {}, {}, "steps")

    with JobQueue(4) as queue:
        library = SongLibrary(tmp_path, queue)
        song = library.submit(JobRequest(DUET, ("violin",), "default"), process)
        library.prune(kept_seconds=-1)
        assert library.find(song.token) is song
        library.remove(song)
    assert song.job.state == "cancelled" and not song.folder.exists()


def test_a_track_reads_the_same_while_it_grows_and_from_its_file(tmp_path: Path) -> None:
    values = torch.arange(-500, 500).reshape(2, 500) / 2**15
    growing = GrowingTrack("violin", "source", tmp_path / "raw", 8000, 2, 500)
    assert growing.read(0, 10).shape == (0, 2)
    for first, last in ((0, 300), (300, 500)):
        grow([growing], values[None, :, first:last])
    audio.write(tmp_path / "violin.flac", values, 8000)
    finished = FileTrack.of("violin", "source", tmp_path / "violin.flac")
    assert (finished.rate, finished.channels, finished.samples, finished.ready) == (8000, 2, 500, 500)
    for start, stop in ((0, 500), (250, 350), (490, 600), (600, 700), (-5, 5)):
        expected = values.T[max(start, 0) : stop].numpy()
        assert (growing.read(start, stop) == expected).all() and (
            finished.read(start, stop) == expected
        ).all()


def test_an_outline_has_the_extremes_of_each_hundredth_of_a_second(tmp_path: Path) -> None:
    # A rate that is no multiple of 100 Hz, and more than one block.
    rate, seconds = 1055, 45
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(2, rate * seconds, generator=generator) * 1.6 - 0.8
    track = GrowingTrack("violin", "source", tmp_path / "raw", rate, 2, rate * seconds)
    assert peaks.outline(track).shape == (0, 2)
    grow([track], values[None])
    outline = peaks.outline(track)
    assert outline.shape == (100 * seconds, 2)
    for i in (0, 1, 1999, 2000, 2001, 4499):
        span = values[:, int(i * rate / 100) : int((i + 1) * rate / 100)]
        assert outline[i].tolist() == [math.floor(span.min() * 127), math.ceil(span.max() * 127)]


def test_a_mix_above_full_scale_is_not_clipped(tmp_path: Path) -> None:
    tracks = []
    for name in ("a", "b"):
        audio.write(tmp_path / f"{name}.flac", torch.full((1, 100), 0.75), 8000)
        tracks.append(FileTrack.of(name, "source", tmp_path / f"{name}.flac"))
    levels = {"a": Level(1.0, 0.5), "b": Level(0.5)}
    written = save_mix(tracks, levels, tmp_path / "mix.flac", "24")
    # b is in the middle; a is to the right, where the left is half as loud.
    assert written.suffix == ".wav"
    assert torch.equal(audio.read(written).samples, torch.tensor([[0.75], [1.125]]).expand(2, 100))
    quiet = save_mix(tracks, {"b": Level(0.5)}, tmp_path / "mix.flac", "24")
    assert quiet.suffix == ".flac" and torch.equal(audio.read(quiet).samples, torch.full((1, 100), 0.375))


def test_a_zip_archive_is_made_while_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 9000)
    (tmp_path / "b").write_bytes(b"")
    blocks = list(stream_zip({"song/a": tmp_path / "a", "ü": tmp_path / "b"}))
    assert len(blocks) > 3
    with zipfile.ZipFile(io.BytesIO(b"".join(blocks))) as archive:
        assert archive.testzip() is None
        assert archive.read("song/a") == (tmp_path / "a").read_bytes() and archive.read("ü") == b""


def test_a_closed_page_loses_its_files_except_those_that_others_share(tmp_path: Path) -> None:
    folder = SessionFolder(tmp_path)
    folder.create()
    shared, own = folder.uploads / "shared.wav", folder.uploads / "own.wav"
    for path in (shared, own):
        path.write_bytes(b"sound")
    first, second = folder.session("first"), folder.session("second")
    first.uploads |= {shared, own}
    second.uploads.add(shared)
    signals = first.signals["separate"] = JobSignals()
    folder.close_session("first")
    assert signals.cancel.is_set()
    assert shared.exists() and not own.exists()
    folder.close_session("second")
    assert not shared.exists()
    folder.close_session("never seen")


def endless(on_step: OnStep, on_segment: OnSegment) -> str:
    for index in range(10**6):
        if on_step(step(index)):
            return "kept"
        time.sleep(0.001)
    return "ran out"


def test_a_job_reports_its_steps_and_is_stopped_and_cancelled() -> None:
    with JobQueue(4) as queue:
        signals = JobSignals()
        job = Job(endless, signals, queue, interval=0.01)
        for status in job:
            if len(status.steps) >= 3:
                signals.stop.set()
        assert job.result() == "kept"
        assert job.status().loops == 1

        signals = JobSignals()
        job = Job(endless, signals, queue, interval=0.01)
        for status in job:
            if status.steps:
                signals.cancel.set()
        with pytest.raises(CancelledError):
            job.result()


def test_one_job_at_a_time_and_a_cancelled_one_never_starts() -> None:
    gate, ran = threading.Event(), []

    def first(on_step: OnStep, on_segment: OnSegment) -> None:
        gate.wait(30)

    def second(on_step: OnStep, on_segment: OnSegment) -> None:
        ran.append("second")

    with JobQueue(4) as queue:
        Job(first, JobSignals(), queue)
        signals = JobSignals()
        waiting = Job(second, signals, queue, interval=0.01)
        status = next(iter(waiting))
        assert status.started is False and status.jobs_before == 1
        signals.cancel.set()
        assert list(waiting) == []  # it does not wait any longer
        with pytest.raises(CancelledError):
            waiting.result()
        gate.set()
    assert ran == []


def test_a_full_queue_refuses_work() -> None:
    gate = threading.Event()
    with JobQueue(1) as queue:
        queue.submit(lambda: gate.wait(30))
        queue.submit(lambda: None)
        with pytest.raises(TagBoxError, match="too many runs wait already"):
            queue.submit(lambda: None)
        gate.set()


def test_a_job_is_cancelled_when_nobody_follows_it_any_more() -> None:
    with JobQueue(4) as queue:
        signals = JobSignals()
        statuses = iter(Job(endless, signals, queue, interval=0.01))
        next(statuses)
        statuses.close()  # type: ignore[attr-defined]
        assert signals.cancel.is_set()


def test_predicted_sources_are_suggested_first_and_drawn() -> None:
    duet = audio.read(DUET)
    (predictions,) = predict_windows(duet.samples, duet.rate, [load_tagger()])
    words = [word for word, _ in suggestions.suggest_sources(predictions)]
    assert {"violin", "piano"} <= set(words[:4])
    assert "no vocals" not in words
    drawing = plots.draw_predictions(duet.samples, duet.rate, predictions)
    assert drawing.count('class="heat"') == plots.TAG_ROWS * len(predictions.spans)
    assert ">violin<" in drawing and 'class="wave"' in drawing


@pytest.mark.parametrize("taggers", [("mtat/fcn",), ("mtat/fcn", "jamendo/fcn"), ("msd/fcn",)])
def test_every_known_word_has_target_tags(taggers: tuple[str, ...]) -> None:
    words = suggestions.known_words(taggers)
    assert "guitar" in words
    settings = Settings(taggers=taggers, begin="even")
    assert all(map(all, suggestions.target_indices(words, settings).values()))


def test_target_indices_of_a_union_and_in_the_published_order() -> None:
    settings = Settings(taggers=("mtat/fcn",), begin="even")
    ((mtat,),) = suggestions.target_indices(["violin + cello"], settings).values()
    assert [TAGS["mtat"][i] for i in mtat] == ["violin", "cello"]
    settings = dataclasses.replace(settings, vocabulary="published")
    ((published,),) = suggestions.target_indices(["sitar"], settings).values()
    assert [TAGS["mtat"][i] for i in published] == ["solo"]


def test_curves_belong_to_the_source_that_the_loop_steers() -> None:
    targets = {"violin": [[1]], "<b>": [[2]]}
    first_loop = JobStatus(True, 0, 1, (step(0), step(1)), None, 1.0)
    first = plots.draw_loop(first_loop, list(targets), targets, 5)
    assert "violin" in first and "&lt;b&gt;" not in first
    second_loop = JobStatus(True, 0, 2, (step(0, probability=0.25),), None, 1.0)
    second = plots.draw_loop(second_loop, list(targets), targets, 5)
    assert "&lt;b&gt; <b>25%</b>" in second and "<b>0</b>" in second


def test_progress_shows_the_loop_or_else_the_segments() -> None:
    waiting = JobStatus(False, 2, 0, (), None, 3.0)
    steered = ProgressView(["violin"], {"violin": [[1]]}, 4)
    assert "2 other runs" in steered.render(waiting)
    halfway = JobStatus(True, 0, 1, (step(0), step(1)), None, 2.0)
    assert 'max="4" value="2"' in steered.render(halfway) and "polyline" in steered.render(halfway)
    assert "2 steps" in steered.render(halfway, ended=True)
    inferred = ProgressView(["violin"], {"violin": [[1]]}, 1)
    second_segment = JobStatus(True, 0, 1, (step(0),), (1, 3), 2.0)
    assert 'max="3" value="1"' in inferred.render(second_segment)
    assert "polyline" not in inferred.render(second_segment, ended=True)


def test_spectrograms_of_long_recordings_are_pooled_and_not_cut(tmp_path: Path) -> None:
    rate, seconds = 8000, 70
    tone = torch.zeros(1, rate * seconds)
    tone[:, -rate * 5 :] = torch.sin(torch.arange(rate * 5) * 1.5)
    audio.write(tmp_path / "late.wav", tone * 0.5, rate)
    levels = spectrograms.pooled_levels(FileReader.of(tmp_path / "late.wav"))
    assert levels.shape[0] == 1025 and levels.shape[1] <= spectrograms.COLUMNS
    loud = levels.max(axis=0) > levels.max() - 6
    assert loud[-3:].all() and loud.mean() == pytest.approx(5 / seconds, abs=0.03)
    pictures = spectrograms.save_spectrograms({"late": tmp_path / "late.wav"}, tmp_path)
    with Image.open(pictures["late"]) as picture:
        assert picture.size == (levels.shape[1], spectrograms.ROWS)
        rows = np.asarray(picture)[:, -10:].argmax(axis=0)
    # The tone of 1.5 rad a sample, counted from above: rows are even in mel up to half the sample rate.
    mel = [2595 * math.log10(1 + hz / 700) for hz in (rate * 1.5 / (2 * math.pi), rate / 2)]
    assert abs(rows - (1 - mel[0] / mel[1]) * spectrograms.ROWS).max() <= 1


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (JobRequest(DUET, (), "default"), "no word is chosen"),
        (JobRequest(DUET, tuple("abcdefg"), "default"), "7 words"),
        (JobRequest(DUET, ("violn",), "default"), "did you mean violin"),
        (JobRequest(DUET, ("violin",), "default", {"fft": (3,)}), "FFT size of 3"),
    ],
)
def test_a_request_is_checked_before_anything_heavy(request_: JobRequest, complaint: str) -> None:
    with pytest.raises(TagBoxError, match=complaint):
        request_.settings()


def test_every_setting_has_a_control() -> None:
    generators = {"embedded": "embedded", "jukebox": "jukebox"}
    with gradio.Blocks(analytics_enabled=False):
        separation = form.build_form("a", ["default", "paper"], Limits(), generators)
        transfer = form.build_form("b", ["transfer"], Limits(), {"embedded": "embedded"})
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert set(separation.settings) == fields
    assert set(transfer.settings) == fields - set(form.NOT_FOR_TRANSFER)
    values = [control.value for control in separation.controls]
    wanted = separation.request(DUET, ["violin"], values)
    assert wanted.settings() == presets.find("default").settings
    assert wanted.start == 0 and wanted.duration is None


@pytest.mark.parametrize("preset", ["default", "paper", "published-code"])
def test_choosing_a_preset_fills_in_its_settings(preset: str) -> None:
    generators = {"embedded": "embedded", "jukebox": "jukebox"}
    with gradio.Blocks(analytics_enabled=False):
        separation = form.build_form("a", ["default", "paper", "published-code"], Limits(), generators)
    others = [control.value for control in separation.controls[1 + len(separation.settings) :]]
    values = [preset, *separation.preset_values(preset), *others]
    assert separation.request(DUET, ["violin"], values).settings() == presets.find(preset).settings


def test_settings_of_the_published_code_have_an_accordion_of_their_own() -> None:
    assert {name for row in form.PUBLISHED_ROWS for name in row} == set(PUBLISHED_FIELDS)
    assert not {name for row in form.ROWS for name in row} & set(PUBLISHED_FIELDS)


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore afterwards the environment variables that the server sets."""
    for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_OFFLINE", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


@pytest.mark.usefixtures("own_environment")
def test_a_port_in_use_is_an_error_with_advice() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(TagBoxError, match="give another --port"),
            server.serving("127.0.0.1", port, Limits()),
        ):
            pytest.fail("served")


@pytest.mark.usefixtures("own_environment")
def test_without_gradio_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(TagBoxError, match=r"tagbox\[ui\]"), server.serving("127.0.0.1", 1, Limits()):
        pytest.fail("served")


def test_there_are_no_examples_outside_the_repository(tmp_path: Path) -> None:
    assert separation_examples(tmp_path) == () and transfer_examples(tmp_path) == ()
    assert separation_examples() and transfer_examples()
