"""Recordings through pipes: standard input, named pipes, and one source on standard output."""

import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import soundfile

from cli_runner import assert_refused, run_tagbox

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"
OPTIONS = ("--tags", "violin", "--preset", "fast")


@pytest.fixture
def recording(tmp_path: Path) -> bytes:
    """A second of music as wav."""
    samples, rate = soundfile.read(DUET, frames=44100)
    soundfile.write(tmp_path / "song.wav", samples, rate)
    return (tmp_path / "song.wav").read_bytes()


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def pipe_in(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_standard_input_is_a_recording(
    tmp_path: Path, recording: bytes, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe_in(monkeypatch, recording)
    code, _, err = run_tagbox("separate", "-", *OPTIONS, "-o", tmp_path / "out")
    assert code == 0, err
    assert json.loads((tmp_path / "out" / "stdin" / "run.json").read_text())["input"]["file"] == "stdin"
    pipe_in(monkeypatch, recording)
    code, out, err = run_tagbox("tag", "-", "--json")
    assert code == 0 and json.loads(out)[0]["file"] == "-", err
    pipe_in(monkeypatch, b"")
    assert_refused(run_tagbox("tag", "-"), "- is empty")
    pipe_in(monkeypatch, b"a text")
    assert_refused(run_tagbox("separate", "-", *OPTIONS, "-o", tmp_path / "no"), "- is a text file")
    assert list(spool.iterdir()) == []


def test_a_terminal_and_a_closed_standard_input_are_no_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert_refused(run_tagbox("tag", "-"), "nothing is piped in")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_a_recording(tmp_path: Path, recording: bytes, spool: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(recording,), daemon=True)
    writer.start()
    code, _, err = run_tagbox("separate", pipe, *OPTIONS, "-o", tmp_path / "out")
    writer.join(10)
    assert code == 0, err
    assert (tmp_path / "out" / "pipe" / "violin.wav").exists()
    assert list(spool.iterdir()) == []


def test_one_source_goes_to_standard_output_and_nothing_else(tmp_path: Path, recording: bytes) -> None:
    command = [sys.executable, "-m", "tagbox", "separate", "-", *OPTIONS, "--stdout", "--bits", "16"]
    ended = subprocess.run(command, input=recording, capture_output=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    samples, rate = soundfile.read(io.BytesIO(ended.stdout))
    assert (samples.shape, rate) == ((44100,), 44100)
    assert b"processing" in ended.stderr


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (("--tags", "violin", "--tags", "piano", "--stdout"), "one source"),
        (("--tags", "violin", "--stdout", "-o", "out"), "contradict"),
        (("--tags", "violin", "--stdout", "--json"), "nothing else"),
        (("--tags", "violin"), "--stdout"),
    ],
)
def test_what_standard_output_cannot_take(tmp_path: Path, words: tuple[str, ...], fact: str) -> None:
    assert_refused(run_tagbox("separate", DUET, *words), fact)


def test_no_recording_is_written_to_a_terminal() -> None:
    code, _, err = run_tagbox("separate", DUET, *OPTIONS, "--stdout", on_terminal=True)
    assert code == 2 and "terminal" in err
