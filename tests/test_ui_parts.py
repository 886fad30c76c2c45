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
from tagbox.tagging import predict_windows
from tagbox.tags.vocabularies import TAGS
from tagbox.ui import form, gallery, plots, server, spectrograms, suggestions
from tagbox.ui.jobs import Job, JobQueue, JobStatus
from tagbox.ui.limits import Limits, plain
from tagbox.ui.session_files import Folder, Signals
from tagbox.ui.tasks import Request

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"


def step(index: int, loss: float = 0.0, share: float = 0.5) -> Step:
    return Step(index, loss, (torch.full((1, 50), share),), float(index))


def test_refusals_name_the_file_and_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "private" / "song.mp3"
    path.parent.mkdir()
    path.write_text("words")
    with pytest.raises(TagBoxError) as refused:
        Limits().read(path)
    assert plain(refused.value, path).startswith("song.mp3 is a text file")
    assert str(tmp_path) not in plain(refused.value, path)


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [(Limits(seconds=14), "takes 14 s at the most"), (Limits(megabytes=0), "larger than 0 MB")],
)
def test_a_recording_beyond_a_bound_is_refused_unread(limits: Limits, complaint: str) -> None:
    with pytest.raises(TagBoxError, match=complaint):
        limits.check(DUET)
    Limits().check(DUET)


def test_many_channels_count_as_length(tmp_path: Path) -> None:
    path = tmp_path / "wide.wav"
    soundfile.write(path, torch.zeros(1000, 200).numpy(), 1000)
    with pytest.raises(TagBoxError, match="200 channels"):
        Limits(seconds=1).check(path)


def test_results_are_given_by_token_and_name_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.prepare()
    results = folder.new_results("page", "separate")
    results.mkdir()
    (results / "violin.wav").write_bytes(b"sound")
    (results / "link").symlink_to("/etc/hostname")
    (tmp_path / "secret").write_bytes(b"secret")
    token = results.name
    assert folder.result(token, "violin.wav") == results / "violin.wav"
    for wrong, name in (
        (token, "../../secret"),
        (token, ".."),
        (token, "link"),
        (token, ""),
        ("../results/" + token, "violin.wav"),
        ("..", "secret"),
        ("0" * 32, "violin.wav"),
    ):
        assert folder.result(wrong, name) is None


def test_a_page_that_closes_takes_its_own_and_leaves_what_others_share(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.prepare()
    shared, own = folder.uploads / "shared.wav", folder.uploads / "own.wav"
    for path in (shared, own):
        path.write_bytes(b"sound")
    first, second = folder.session("first"), folder.session("second")
    first.uploads |= {shared, own}
    second.uploads.add(shared)
    signals = first.signals["separate"] = Signals()
    results = folder.new_results("first", "separate")
    results.mkdir()
    folder.leave("first")
    assert signals.cancel.is_set()
    assert shared.exists() and not own.exists() and not results.exists()
    folder.leave("second")
    assert not shared.exists()
    folder.leave("never seen")


def test_new_results_replace_the_last_ones_of_the_tab(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.prepare()
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


def test_a_run_is_watched_stopped_and_cancelled() -> None:
    with JobQueue(4) as turns:
        signals = Signals()
        watched = Job(endless, signals, turns, every=0.01)
        for moment in watched:
            if len(moment.steps) >= 3:
                signals.stop.set()
        assert watched.outcome() == "kept"
        assert watched.last().loops == 1

        signals = Signals()
        watched = Job(endless, signals, turns, every=0.01)
        for moment in watched:
            if moment.steps:
                signals.cancel.set()
        with pytest.raises(CancelledError):
            watched.outcome()


def test_one_run_at_a_time_and_a_cancelled_one_never_begins() -> None:
    gate, ran = threading.Event(), []

    def first(on_step: OnStep, on_segment: OnSegment) -> None:
        gate.wait(30)

    def second(on_step: OnStep, on_segment: OnSegment) -> None:
        ran.append("second")

    with JobQueue(4) as turns:
        Job(first, Signals(), turns)
        signals = Signals()
        waiting = Job(second, signals, turns, every=0.01)
        moment = next(iter(waiting))
        assert moment.begun is False and moment.before == 1
        signals.cancel.set()
        assert list(waiting) == []  # it does not wait any longer
        with pytest.raises(CancelledError):
            waiting.outcome()
        gate.set()
    assert ran == []


def test_a_line_that_is_full_turns_away() -> None:
    gate = threading.Event()
    with JobQueue(1) as turns:
        turns.ask(lambda: gate.wait(30))
        turns.ask(lambda: None)
        with pytest.raises(TagBoxError, match="too many wait already"):
            turns.ask(lambda: None)
        gate.set()


def test_leaving_a_watched_run_cancels_it() -> None:
    with JobQueue(4) as turns:
        signals = Signals()
        watching = iter(Job(endless, signals, turns, every=0.01))
        next(watching)
        watching.close()  # type: ignore[attr-defined]
        assert signals.cancel.is_set()


def test_what_is_heard_is_suggested_first_and_drawn() -> None:
    duet = audio.read(DUET)
    (heard,) = predict_windows(duet.samples, duet.rate, [load_tagger()])
    offered = [word for word, _ in suggestions.suggestions(heard)]
    assert {"violin", "piano"} <= set(offered[:4])
    assert "no vocals" not in offered
    drawn = plots.heard_over_time(duet.samples, duet.rate, heard)
    assert drawn.count('class="heat"') == plots.ROWS * len(heard.spans)
    assert ">violin<" in drawn and 'class="wave"' in drawn


@pytest.mark.parametrize("taggers", [("mtat/fcn",), ("mtat/fcn", "jamendo/fcn"), ("msd/fcn",)])
def test_every_word_on_offer_is_one_that_can_be_asked_for(taggers: tuple[str, ...]) -> None:
    offered = suggestions.known(taggers)
    assert "guitar" in offered
    for word in offered:
        assert all(suggestions.outputs(word, taggers, "right"))


def test_outputs_of_a_union_in_every_vocabulary() -> None:
    (mtat,) = suggestions.outputs("violin + cello", ["mtat/fcn"], "right")
    assert [TAGS["mtat"][i] for i in mtat] == ["violin", "cello"]
    (published,) = suggestions.outputs("sitar", ["mtat/fcn"], "published")
    assert [TAGS["mtat"][i] for i in published] == ["solo"]


def test_curves_follow_the_source_whose_loop_it_is() -> None:
    wanted = {"violin": [[1]], "<b>": [[2]]}
    first = plots.curves(JobStatus(True, 0, 1, (step(0), step(1)), None, 1.0), list(wanted), wanted, 5)
    assert "violin" in first and "&lt;b&gt;" not in first
    second = plots.curves(JobStatus(True, 0, 2, (step(0, share=0.25),), None, 1.0), list(wanted), wanted, 5)
    assert "&lt;b&gt; <b>25%</b>" in second and "<b>0</b>" in second


def test_spectrograms_of_long_recordings_are_pooled_not_cut(tmp_path: Path) -> None:
    rate, seconds = 8000, 70
    tone = torch.zeros(1, rate * seconds)
    tone[:, -rate * 5 :] = torch.sin(torch.arange(rate * 5) * 1.5)
    audio.write(tmp_path / "late.wav", tone * 0.5, rate)
    levels = spectrograms._levels(FileReader.of(tmp_path / "late.wav"))
    assert levels.shape[0] == 1025 and levels.shape[1] <= spectrograms.COLUMNS
    loud = levels.max(axis=0) > levels.max() - 6
    assert loud[-3:].all() and loud.mean() == pytest.approx(5 / seconds, abs=0.03)
    drawn = spectrograms.save({"late": tmp_path / "late.wav"}, tmp_path)
    assert drawn["late"].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (Request(DUET, (), "default"), "no word is chosen"),
        (Request(DUET, tuple("abcdefg"), "default"), "7 words"),
        (Request(DUET, ("violn",), "default"), "did you mean violin"),
        (Request(DUET, ("violin",), "default", {"fft": (3,)}), "FFT size of 3"),
    ],
)
def test_a_request_is_checked_before_anything_heavy(asked: Request, complaint: str) -> None:
    with pytest.raises(TagBoxError, match=complaint):
        asked.settings()


def test_every_setting_has_a_control() -> None:
    with gradio.Blocks(analytics_enabled=False):
        both = form.build("a", ["default", "paper"], Limits(), {"embedded": "embedded", "jukebox": "jukebox"})
        alone = form.build("b", ["transfer"], Limits(), {"embedded": "embedded"})
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert set(both.settings) == fields
    assert set(alone.settings) < fields and "fft" not in alone.settings
    values = [control.value for control in both.controls]
    asked = both.request(DUET, ["violin"], values)
    assert asked.settings() == presets.find("default").settings
    assert asked.start == 0 and asked.duration is None


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server sets some variables of its process; afterwards they are as before."""
    for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_OFFLINE", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


@pytest.mark.usefixtures("own_environment")
def test_a_port_that_is_taken_is_told_in_a_line() -> None:
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
def test_without_gradio_the_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(TagBoxError, match=r"tagbox\[ui\]"), server.serving("127.0.0.1", 1, Limits()):
        pytest.fail("served")


def test_no_examples_where_there_is_no_repository(tmp_path: Path) -> None:
    assert gallery.separations(tmp_path) == [] and gallery.transfers(tmp_path) == []
    assert gallery.separations() and gallery.transfers()
