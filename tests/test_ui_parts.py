"""The parts of the web page that need no browser."""

import dataclasses
import os
import socket
import sys
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import gradio
import pytest
import soundfile
import torch

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
from tagbox.ui import form, plots, server, spectrograms, suggestions
from tagbox.ui.examples import separation_examples, transfer_examples
from tagbox.ui.jobs import Job, JobQueue, JobStatus
from tagbox.ui.limits import Limits, without_folder
from tagbox.ui.processing import JobRequest
from tagbox.ui.progress_html import ProgressView
from tagbox.ui.session_files import JobSignals, SessionFolder

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


def test_results_are_found_by_token_and_name_only(tmp_path: Path) -> None:
    folder = SessionFolder(tmp_path)
    folder.create()
    results = folder.new_results("page", "separate")
    results.mkdir()
    (results / "violin.wav").write_bytes(b"sound")
    (results / "link").symlink_to("/etc/hostname")
    (tmp_path / "secret").write_bytes(b"secret")
    token = results.name
    assert folder.find_result(token, "violin.wav") == results / "violin.wav"
    for wrong, name in (
        (token, "../../secret"),
        (token, ".."),
        (token, "link"),
        (token, ""),
        ("../results/" + token, "violin.wav"),
        ("..", "secret"),
        ("0" * 32, "violin.wav"),
    ):
        assert folder.find_result(wrong, name) is None


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
    results = folder.new_results("first", "separate")
    results.mkdir()
    folder.close_session("first")
    assert signals.cancel.is_set()
    assert shared.exists() and not own.exists() and not results.exists()
    folder.close_session("second")
    assert not shared.exists()
    folder.close_session("never seen")


def test_new_results_replace_the_previous_ones_of_the_tab(tmp_path: Path) -> None:
    folder = SessionFolder(tmp_path)
    folder.create()
    old = folder.new_results("page", "separate")
    old.mkdir()
    other = folder.new_results("page", "transfer")
    other.mkdir()
    assert folder.new_results("page", "separate") != old
    assert other.exists() and not old.exists()


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
    for word in words:
        assert all(suggestions.target_indices(word, taggers, "right"))


def test_target_indices_of_a_union_and_in_the_published_order() -> None:
    (mtat,) = suggestions.target_indices("violin + cello", ["mtat/fcn"], "right")
    assert [TAGS["mtat"][i] for i in mtat] == ["violin", "cello"]
    (published,) = suggestions.target_indices("sitar", ["mtat/fcn"], "published")
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
    assert pictures["late"].read_bytes().startswith(b"\x89PNG")


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
