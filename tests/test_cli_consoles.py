"""Names, consoles and signals: whatever the system allows is written, and nothing ends in a traceback."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from cli_runner import StartProgram, assert_refused, run_tagbox
from tagbox.atomic_files import as_json

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"
OPTIONS = ("--tags", "violin", "--preset", "fast")
UNDECODABLE = os.fsdecode(b"latin1-\xe9")


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """A second of music."""
    samples, rate = soundfile.read(DUET, frames=44100)
    soundfile.write(tmp_path / "song.wav", samples, rate)
    return tmp_path / "song.wav"


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run `line` in bash, in which $T is the program."""
    program = {**os.environ, "T": f"{sys.executable} -m tagbox", **environment}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=program, capture_output=True, timeout=240)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode here")
def test_names_that_are_no_utf8_in_and_out(song: Path, tmp_path: Path) -> None:
    recording = tmp_path / f"{UNDECODABLE}.wav"
    shutil.copy(song, recording)
    folder = tmp_path / f"out-{UNDECODABLE}"
    for options in (("--format", "wav"), ("--format", "flac", "--force")):
        code, _, err = run_tagbox("separate", recording, *OPTIONS, "-o", folder, *options)
        assert code == 0, err
    manifest = json.loads((folder / UNDECODABLE / "run.json").read_bytes())
    assert manifest["input"]["file"] == recording.name
    assert (folder / UNDECODABLE / "violin.flac").exists()
    assert not (folder / UNDECODABLE / "violin.wav").exists()


def test_json_escapes_what_is_no_unicode() -> None:
    text = as_json({"file": "\udce9 \N{SNOWMAN}"})
    assert text.encode() and json.loads(text) == {"file": "\udce9 \N{SNOWMAN}"}
    assert "\N{SNOWMAN}" in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_that_lacks_a_letter_shows_its_number(song: Path, tmp_path: Path, encoding: str) -> None:
    recording = tmp_path / "\u7d46.wav"
    shutil.copy(song, recording)
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        code, *_ = _run_into(streams, "separate", recording, *OPTIONS, "-o", tmp_path / "out")
    assert code == 0
    assert (tmp_path / "out" / "\u7d46" / "violin.wav").exists()
    printed = [stream.buffer.getvalue() for stream in streams]  # type: ignore[attr-defined]
    assert all(b"\\u7d46" in each for each in printed)


def _run_into(streams: list[io.TextIOWrapper], *arguments: object) -> tuple[int, None]:
    """Run `tagbox` with the streams that are in place."""
    from unittest import mock

    from tagbox.cli import main

    with mock.patch.object(sys, "argv", ["tagbox", *map(str, arguments)]):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    for stream in streams:
        stream.flush()
    return code, None


@pytest.mark.integration
def test_closed_and_left_outputs_lose_no_result(song: Path) -> None:
    folder = song.parent
    for name, line in {
        "closed": "$T separate song.wav --tags violin --preset fast -o closed >&-",
        "silent": "$T separate song.wav --tags violin --preset fast -o silent >&- 2>&- <&-",
        "left": "$T separate song.wav --tags violin --preset fast -o left | true; exit ${PIPESTATUS[0]}",
    }.items():
        ended = shell(line, folder)
        assert ended.returncode == 0 and b"Traceback" not in ended.stderr, ended.stderr
        assert soundfile.info(folder / name / "song" / "violin.wav").frames == 44100
    ended = shell("$T tags | head -1; exit ${PIPESTATUS[0]}", folder)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    "command", ["tags --json", "tags violin", "--version", "models path mtat/pons-musicnn"]
)
def test_a_full_disk_under_standard_output_is_told(tmp_path: Path, command: str) -> None:
    ended = shell(f"$T {command} >/dev/full", tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.count(b"\n") == 1 and b"No space left" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals, start_program: StartProgram
) -> None:
    command = [sys.executable, "-m", "tagbox", "separate", DUET, "--tags", "violin", "-o", tmp_path / "out"]
    process = start_program(
        [*map(str, command), "--steps", "100000", "--factorisations", "1", "--duration", "3"]
    )
    assert process.stderr is not None
    deadline = time.monotonic() + 120
    while "step 1" not in process.stderr.readline():
        assert time.monotonic() < deadline
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert number.name in errors and "Traceback" not in errors
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_read_only_is_told_before_the_work(
    song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The superuser may write everywhere but where the file system is read-only.
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and may(path, mode))
    result = run_tagbox("separate", song, *OPTIONS, "-o", tmp_path / "out")
    assert_refused(result, str(tmp_path), "cannot be written", path=tmp_path / "out", exit_code=1)


def test_a_link_to_nothing_is_not_offered_as_its_own_mending(tmp_path: Path) -> None:
    link = tmp_path / "song.wav"
    link.symlink_to(tmp_path / "away.wav")
    code, _, err = run_tagbox("tag", link)
    assert code == 2 and "away.wav" in err and "did you mean" not in err


def test_a_socks_proxy_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    for name in ("ALL_PROXY", "HTTPS_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy", "TAGBOX_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path))
    code, _, err = run_tagbox("models", "pull", "mtat/fcn")
    assert code == 2 and "SOCKS" in err and "pysocks" in err


FORKING = """
import os, signal, sys
import torch
torch.set_num_threads(2)
import tagbox
from tagbox import audio

recording = audio.read(sys.argv[1])
before = tagbox.tag(recording.samples, recording.rate, top=3)
child = os.fork()
if child == 0:
    signal.alarm(60)
    after = tagbox.tag(recording.samples, recording.rate, top=3)
    same = all(abs(after[name] - before[name]) < 1e-4 for name in before)
    tagbox.separate(recording.samples, recording.rate, ["drums"], preset="fast")
    os._exit(0 if same else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_after_use_computes(song: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", FORKING, song], capture_output=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
