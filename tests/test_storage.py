"""Recordings and results at addresses of S3: a real server on this machine, which is made to fail."""

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from cli_runner import assert_refused, run_tagbox
from s3_server import S3Server, s3_server
from tagbox.parallel import storage
from tagbox.parallel.storage import Address

s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed (pip install 'tagbox[s3]')")
pytest.importorskip("moto", reason="moto is not installed (pip install moto[s3] flask flask-cors)")

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"
CHEAP = ("--steps", "1", "--components", "4", "--factorisations", "1", "--device", "cpu")
OPTIONS = ("--tags", "violin", *CHEAP)
RESULTS = ["residual.wav", "run.json", "violin.wav"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def s3(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The server, which commands find; they leave nothing in the folder of temporary files."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    s3fs.S3FileSystem.clear_instance_cache()
    yield server
    s3fs.S3FileSystem.clear_instance_cache()
    assert not list(folder.iterdir())


@pytest.fixture
def bucket(s3: S3Server, request: pytest.FixtureRequest) -> str:
    """A bucket of the test's own."""
    name = request.node.name.replace("_", "-")[5:60].strip("-")
    s3.make_bucket(name)
    return str(name)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Short recordings, by name."""
    folder = tmp_path_factory.mktemp("songs")
    samples, rate = soundfile.read(DUET, frames=2 * 44100)
    found = {}
    for number, name in enumerate(("one.wav", "two.wav", "three.wav")):
        soundfile.write(folder / name, samples[number * 4410 :], rate)
        found[name] = (folder / name).read_bytes()
    return found


def names_in(folder: str) -> list[str]:
    """The names of all files at an address, seen from there."""
    return [str(name) for _, name in Address(folder).below()]


def records_of(out: str, name: str = "batch.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Address(out) / name).read_text().splitlines()]


def test_a_folder_of_recordings(s3: S3Server, bucket: str, songs: dict[str, bytes], tmp_path: Path) -> None:
    """The samples are those of files; what is done is left alone without being fetched."""
    for name in ("albums/a/one.wav", "albums/two.wav"):
        s3.put(f"{bucket}/{name}", songs[Path(name).name])
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(songs[Path(name).name])
    for name in ("albums/notes.txt", "albums/._two.wav", "albums/.hidden/two.wav", "albums/out/three.wav"):
        s3.put(f"{bucket}/{name}", b"nothing to read")
    source, out = f"s3://{bucket}/albums", f"s3://{bucket}/albums/out"
    code, text, err = run_tagbox("separate", f"{source}/", *OPTIONS, "-o", f"{out}/", "--jobs", 1, "--json")
    assert code == 0, err
    done = json.loads(text)
    assert [each["written"] for each in done] == [
        [f"{out}/{folder}/violin.wav", f"{out}/{folder}/residual.wav"] for folder in ("a/one", "two")
    ]
    assert done[1]["input"]["found_at"] == f"{source}/two.wav"
    assert names_in(out) == [
        "a/one/residual.wav",
        "a/one/run.json",
        "a/one/violin.wav",
        "batch.jsonl",
        "three.wav",
        *(f"two/{name}" for name in RESULTS),
    ]
    assert json.loads((Address(out) / "two" / "run.json").read_text())["files"] == [
        "violin.wav",
        "residual.wav",
    ]
    assert [(each["status"], each["recording"]) for each in records_of(out)] == [
        ("done", f"{source}/a/one.wav"),
        ("done", f"{source}/two.wav"),
    ]
    writes = [each for each in s3.requests() if each.startswith(f"PUT /{bucket}/albums/out/two/")]
    assert writes[-1].endswith("run.json") and len(writes) == 3

    code, _, err = run_tagbox("separate", tmp_path / "albums", *OPTIONS, "-o", tmp_path / "here", "--jobs", 1)
    assert code == 0, err
    for name in ("violin.wav", "residual.wav"):
        (Address(out) / "a/one" / name).fetch(tmp_path / name)
        samples, _ = soundfile.read(tmp_path / name)
        assert (samples == soundfile.read(tmp_path / "here" / "a" / "one" / name)[0]).all()

    before = len(s3.requests())
    code, text, err = run_tagbox("separate", source, *OPTIONS, "-o", out)
    assert code == 0 and text.count("done already") == 2, err
    assert not [each for each in s3.requests()[before:] if "GET" in each and each.endswith(".wav")]
    assert len(records_of(out)) == 2


def test_only_force_replaces_what_another_command_gave(
    s3: S3Server, bucket: str, songs: dict[str, bytes], tmp_path: Path
) -> None:
    song, out = tmp_path / "song.wav", f"s3://{bucket}/out"
    song.write_bytes(songs["one.wav"])
    assert run_tagbox("separate", song, *OPTIONS, "-o", out)[0] == 0
    assert json.loads((Address(out) / "song" / "run.json").read_text())["input"]["found_at"] == str(song)
    assert names_in(f"{out}/song") == RESULTS
    code, text, err = run_tagbox("separate", song, *OPTIONS, "-o", out)
    assert code == 0 and "done already" in text, err

    words = ("--tags", "flute", *CHEAP, "-o", out)
    assert_refused(run_tagbox("separate", song, *words), f"{out}/song holds", "--force")
    code, text, err = run_tagbox("separate", song, *words, "--force", "--plot")
    assert code == 0 and f"removed {out}/song/violin.wav" in err
    assert names_in(out) == [f"song/{name}" for name in ("flute.wav", "plot.png", "residual.wav", "run.json")]
    assert f"{out}/song/plot.png" in text


def test_a_recording_that_changes_is_another_one(s3: S3Server, bucket: str, songs: dict[str, bytes]) -> None:
    song, out = f"s3://{bucket}/song.wav", f"s3://{bucket}/out"
    s3.put(f"{bucket}/song.wav", songs["one.wav"])
    assert run_tagbox("separate", song, *OPTIONS, "-o", out)[0] == 0
    s3.put(f"{bucket}/song.wav", songs["two.wav"])
    assert_refused(run_tagbox("separate", song, *OPTIONS, "-o", out), "--force")
    # The same again, which only its SHA-256 tells.
    s3.put(f"{bucket}/song.wav", songs["one.wav"])
    assert "done already" in run_tagbox("separate", song, *OPTIONS, "-o", out)[1]


def test_a_bad_recording_stops_no_other(s3: S3Server, bucket: str, songs: dict[str, bytes]) -> None:
    s3.put(f"{bucket}/songs/good.wav", songs["one.wav"])
    s3.put(f"{bucket}/songs/bad.wav", b"RIFF, but no more")
    out, missing = f"s3://{bucket}/out", f"s3://{bucket}/none.wav"
    code, _, err = run_tagbox(
        "separate", f"s3://{bucket}/songs/*.wav", missing, *OPTIONS, "-o", out, "--jobs", 1
    )
    assert code == 2 and "2 of 3 recordings failed" in err and "Traceback" not in err
    assert f"there is no file {missing}" in err and f"s3://{bucket}/songs/bad.wav" in err
    assert {each["recording"]: each["status"] for each in records_of(out)} == {
        f"s3://{bucket}/songs/bad.wav": "failed",
        f"s3://{bucket}/songs/good.wav": "done",
        missing: "failed",
    }
    assert names_in(f"{out}/good") == RESULTS


def test_what_is_there_in_part_is_done_again(s3: S3Server, bucket: str, songs: dict[str, bytes]) -> None:
    s3.put(f"{bucket}/one.wav", songs["one.wav"])
    out = f"s3://{bucket}/out"
    with s3.denying("PUT .*violin"):
        result = run_tagbox("separate", f"s3://{bucket}/one.wav", *OPTIONS, "-o", out, "-q")
    assert_refused(result, f"{out}/one/violin.wav cannot be written (Access Denied)", exit_code=1)
    assert names_in(out) == ["one/residual.wav"]
    code, text, err = run_tagbox("separate", f"s3://{bucket}/one.wav", *OPTIONS, "-o", out)
    assert code == 0 and "done already" not in text, err
    assert names_in(f"{out}/one") == RESULTS


def test_records_that_cannot_be_written_stop_nothing(
    s3: S3Server, bucket: str, songs: dict[str, bytes]
) -> None:
    """Each part of a job array has records of its own."""
    for name in songs:
        s3.put(f"{bucket}/{name}", songs[name])
    with s3.denying("PUT .*jsonl"):
        code, _, err = run_tagbox(
            "separate", f"s3://{bucket}/", *OPTIONS, "-o", f"s3://{bucket}/out", "--part", "2/2"
        )
    assert code == 0 and err.count("cannot be written") == 1 and "only printed" in err
    assert names_in(f"s3://{bucket}/out/three") == RESULTS
    assert (
        run_tagbox(
            "separate", f"s3://{bucket}/", *OPTIONS, "-o", f"s3://{bucket}/out", "--part", "1/2", "--jobs", 1
        )[0]
        == 0
    )
    assert len(records_of(f"s3://{bucket}/out", "batch-1-of-2.jsonl")) == 2


@pytest.mark.slow
def test_several_processes(s3: S3Server, bucket: str, songs: dict[str, bytes]) -> None:
    for name in songs:
        s3.put(f"{bucket}/{name}", songs[name])
    out = f"s3://{bucket}/out"
    code, _, err = run_tagbox("separate", f"s3://{bucket}", *OPTIONS, "-o", out, "--jobs", 2)
    assert code == 0, err
    assert len(names_in(out)) == 3 * 3 + 1
    assert os.getpid() not in {each["process"] for each in records_of(out)}


def test_tags_of_recordings(s3: S3Server, bucket: str, songs: dict[str, bytes], tmp_path: Path) -> None:
    for name in ("one.wav", "two.wav"):
        s3.put(f"{bucket}/{name}", songs[name])
        (tmp_path / name).write_bytes(songs[name])
    code, text, err = run_tagbox("tag", f"s3://{bucket}", "--json", "--jobs", 1)
    assert code == 0, err
    tagged = json.loads(text)
    assert [each["file"] for each in tagged] == [f"s3://{bucket}/one.wav", f"s3://{bucket}/two.wav"]
    here = json.loads(run_tagbox("tag", tmp_path / "one.wav", "--json")[1])
    assert tagged[0]["mean"] == here[0]["mean"]
    assert_refused(run_tagbox("tag", f"s3://{bucket}/none.wav"), f"there is no file s3://{bucket}/none.wav")
    assert_refused(run_tagbox("tag", f"s3://{bucket}/*.mp3"), "no recording matches")


def test_other_commands_take_files_only(tmp_path: Path) -> None:
    """An address is never taken for a path of this machine."""
    assert_refused(run_tagbox("refine", "s3://songs/out/one", "--undo"), "one")
    assert_refused(
        run_tagbox("transfer", "s3://songs/one.wav", "--tags", "violin", "-o", tmp_path), "address"
    )
    assert_refused(run_tagbox("example", "s3://songs/duet.flac"), "s3://songs is an address")


def test_storage_that_cannot_be_written(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    """That is told before anything is computed."""
    words = ("separate", DUET, *OPTIONS, "-o")
    assert_refused(run_tagbox(*words, "s3://no-such-bucket/out"), "s3://no-such-bucket/out", "bucket")
    with s3.denying(f"(PUT|POST|DELETE) /{bucket}/"):
        refused = run_tagbox(*words, f"s3://{bucket}/out")
    assert_refused(refused, f"s3://{bucket}/out", "Access Denied", exit_code=1)
    # Storage that keeps everything is no fault.
    with s3.denying(f"DELETE /{bucket}/"):
        assert run_tagbox(*words, f"s3://{bucket}/out", "--duration", 1)[0] == 0


def test_storage_that_cannot_be_read(
    s3: S3Server, bucket: str, songs: dict[str, bytes], tmp_path: Path
) -> None:
    s3.put(f"{bucket}/one.wav", songs["one.wav"])
    song, words = f"s3://{bucket}/one.wav", (*OPTIONS, "-o", tmp_path / "out")
    with s3.denying(f"(GET|HEAD) /{bucket}"):
        assert_refused(run_tagbox("separate", song, *words), song, "rights")
        assert_refused(run_tagbox("tag", f"s3://{bucket}"), f"s3://{bucket}", "rights")
    missing = "s3://no-such-bucket/one.wav"
    assert_refused(run_tagbox("separate", missing, *words), f"there is no file {missing}", "bucket")
    s3.put(f"{bucket}/empty/notes.txt", b"no recording")
    assert_refused(run_tagbox("separate", f"s3://{bucket}/empty", *words), "without recordings")
    assert_refused(run_tagbox("tag", "http://127.0.0.1/one.wav"), "address")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("listens", [True, False])
def test_nobody_answers(listens: bool, s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(storage.OPTIONS["s3"]["config_kwargs"], "read_timeout", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{where}")
        s3fs.S3FileSystem.clear_instance_cache()
        if not listens:
            silent.close()
        result = run_tagbox("separate", "s3://songs/one.wav", *OPTIONS, "-o", tmp_path / "out")
    assert_refused(result, "s3://songs/one.wav cannot be read", where, exit_code=1, path=tmp_path / "out")


def test_credentials_and_packages_that_are_missing(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = (*OPTIONS, "-o", tmp_path / "out")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    refused = run_tagbox("separate", f"s3://{bucket}/one.wav", *words)
    assert_refused(refused, f"s3://{bucket}/one.wav", "credentials", "AWS_ACCESS_KEY_ID")
    assert_refused(run_tagbox("tag", "gs://bucket/one.wav"), "gs://bucket/one.wav", "pip install gcsfs")
