"""Weights are verified by their checksums, downloaded over unreliable connections, and kept in a cache."""

import dataclasses
import hashlib
import io
import itertools
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.golden import recipe_weights
from benchmarks.robustness.checkpoints import (
    Calls,
    UnknownClass,
    equal_weights,
    git_blob,
    saved,
    tagger_checkpoint,
    tagger_weights,
)
from benchmarks.robustness.weights_server import Recorder, Server
from tagbox import models
from tagbox.cli import main
from tagbox.errors import (
    InvalidWeightsError,
    MissingWeightsError,
    TagBoxError,
    UnknownModelError,
    UnwritableOutputError,
)
from tagbox.plugins import Model
from tagbox.weights import cache_file, catalogue, download, store, verification
from tagbox.weights.catalogue import model_by_identifier
from tagbox.weights.download import RetryPolicy

QUICK = RetryPolicy(max_attempts=3, pause_seconds=0.01, timeout_seconds=2.0)


@pytest.fixture(scope="module")
def running_server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def server(running_server: Server) -> Server:
    """A server without files."""
    running_server.reset()
    return running_server


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test."""
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TAGBOX_MIRROR", raising=False)
    return tmp_path / "home"


@pytest.fixture
def crnn() -> bytes:
    """A checkpoint in the form of the published ones."""
    return tagger_checkpoint("crnn", "mtat")


@pytest.fixture(scope="module")
def jukebox_weights() -> dict[str, torch.Tensor]:
    """Weights with the names and shapes of Jukebox."""
    from tagbox.generators import jukebox

    return recipe_weights(jukebox.expected_shapes())


@pytest.fixture
def model(crnn: bytes, server: Server) -> Model:
    """mtat/crnn, as if `crnn` were its published file; its server serves it as ``crnn.pth``."""
    server.files["crnn.pth"] = crnn
    return dataclasses.replace(
        model_by_identifier("mtat/crnn"),
        size=len(crnn),
        sha256=hashlib.sha256(crnn).hexdigest(),
        git_blob=git_blob(crnn),
    )


def cache(home: Path) -> dict[str, bytes]:
    """All that is kept; locks are empty and stay."""
    files = (path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[int, str, str]:
    """The command line in this process: exit code, output, errors."""
    monkeypatch.setattr(sys, "argv", ["tagbox", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


# The catalogue


def test_every_published_tagger_has_a_fixed_address_and_a_blob_id() -> None:
    data = ("mtat", "jamendo", "msd")
    published = [model for model in catalogue.models() if model.source and model.data in data]
    assert len(published) == 24
    for model in published:
        assert re.fullmatch("[0-9a-f]{40}", model.git_blob or "")
        assert "/2969b12498d9c8efa749d99c3ba7a36487b02d21/" in model.source
        assert model.source.endswith(f"/models/{model.identifier}/best_model.pth")
    assert len({model.git_blob for model in published}) == 24
    assert len({model.identifier for model in catalogue.models()}) == len(catalogue.models())


def test_published_files_have_the_checksums_of_the_catalogue(shared: Path) -> None:
    listed = dict(line.split()[::-1] for line in (shared / "weights" / "SHA256SUMS").read_text().splitlines())
    assert len(listed) == 8
    for name, sha256 in listed.items():
        model = model_by_identifier(name.removesuffix(".pth"))
        found = verification.compute_checksums(shared / "weights" / name)
        assert (found.sha256, found.git_blob) == (sha256, model.git_blob)
        assert (model.sha256, model.size) == (sha256, (shared / "weights" / name).stat().st_size)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("mtat/fnc", "mtat/fcn"), ("fcn", "jamendo/fcn"), ("jukbox", "jukebox"), ("MTAT/hccn", "mtat/hcnn")],
)
def test_similar_names_are_suggested_for_a_misspelt_one(typed: str, meant: str) -> None:
    with pytest.raises(UnknownModelError, match=f"no model is called '{typed}'.*{meant}"):
        model_by_identifier(typed)


def test_identifiers_are_case_insensitive() -> None:
    assert model_by_identifier("MTAT/FCN") is catalogue.find_model("tagger", "fcn", "mtat")


# Downloading


@pytest.mark.parametrize("how", ["good", "no-range", "slow", "busy", "broken"])
def test_a_file_arrives_whole_from_any_kind_of_server(
    server: Server, tmp_path: Path, crnn: bytes, how: str
) -> None:
    server.files["f"] = crnn
    server.pause = 0.01
    observer = Recorder()
    download.download(f"{server.base}/{how}/f", tmp_path / "f.part", observer, QUICK)
    assert (tmp_path / "f.part").read_bytes() == crnn
    assert observer.progress[-1] == (len(crnn), len(crnn))
    assert [done for done, _ in observer.progress] == sorted(done for done, _ in observer.progress)


def test_a_broken_download_is_resumed_where_it_stopped(server: Server, tmp_path: Path, crnn: bytes) -> None:
    server.files["f"] = crnn
    observer = Recorder()
    download.download(f"{server.base}/broken/f", tmp_path / "f.part", observer, QUICK)
    starts = [int(span[6:-1]) if span else 0 for _, span in server.asked]
    steps = [after - before for before, after in itertools.pairwise(starts)]
    assert len(steps) >= 4
    assert all(server.breaks_after - download.CHUNK_BYTES < step <= server.breaks_after for step in steps)
    assert all("trying again" in text for text in observer.messages)
    assert len(observer.messages) == len(starts) - 1


def test_a_download_without_progress_is_given_up(server: Server, tmp_path: Path, crnn: bytes) -> None:
    server.files["f"] = crnn
    with pytest.raises(MissingWeightsError, match=r"the connection (broke|ended).*; run it again"):
        download.download(f"{server.base}/stuck/f", tmp_path / "f.part", Recorder(), QUICK)
    # The first attempt brought something; each of the others nothing more.
    assert len(server.asked) == QUICK.max_attempts
    have = (tmp_path / "f.part").stat().st_size
    download.download(f"{server.base}/good/f", tmp_path / "f.part", Recorder(), QUICK)
    assert server.asked[-1] == ("good", f"bytes={have}-") and have > 350_000
    assert (tmp_path / "f.part").read_bytes() == crnn


def test_a_complete_file_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    server.files["f"] = b"0123456789"
    (tmp_path / "f.part").write_bytes(b"0123456789")
    observer = Recorder()
    download.download(f"{server.base}/good/f", tmp_path / "f.part", observer, QUICK)
    assert observer.progress == []
    (tmp_path / "f.part").write_bytes(b"0123456789 and more")
    download.download(f"{server.base}/good/f", tmp_path / "f.part", observer, QUICK)
    assert (tmp_path / "f.part").read_bytes() == b"0123456789"


def test_an_unreachable_server_is_reported_at_once(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(TagBoxError, match=r"cannot get http://127.0.0.1:9/f: the server cannot be reached"):
        download.download(
            "http://127.0.0.1:9/f", tmp_path / "f.part", Recorder(), RetryPolicy(pause_seconds=5.0)
        )
    assert time.monotonic() - start < 4


def test_a_mirror_replaces_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGBOX_MIRROR", "http://mirror:80/weights/")
    assert download.mirrored("https://host/a/b.pth") == "http://mirror:80/weights/a/b.pth"
    monkeypatch.setenv("TAGBOX_MIRROR", "mirror")
    with pytest.raises(TagBoxError, match="TAGBOX_MIRROR is 'mirror'"):
        download.mirrored("https://host/a/b.pth")


# Pulling


@pytest.mark.parametrize("how", ["good", "broken"])
def test_pulled_weights_are_kept_as_safetensors_with_their_origin(
    server: Server, model: Model, crnn: bytes, home: Path, how: str
) -> None:
    assert store.availability(model) == "to be downloaded"
    path = store.pull(model, source=f"{server.base}/{how}/crnn.pth", observer=Recorder(), retry_policy=QUICK)
    assert equal_weights(verification.load_safetensors(path), tagger_weights("crnn", "mtat"))
    said = cache_file.read_metadata(path)
    assert said["original_sha256"] == model.sha256 and said["original_git_blob"] == model.git_blob
    assert said["licence"] == "MIT" and said["source"] == model.source and said["model"] == "mtat/crnn"
    assert list(cache(home)) == ["taggers/mtat/crnn.safetensors"]
    assert store.availability(model) == "cached" and store.locate("tagger", "crnn", "mtat") == path


def test_cached_weights_are_not_pulled_again(server: Server, model: Model) -> None:
    url = f"{server.base}/good/crnn.pth"
    path = store.pull(model, source=url)
    before = path.read_bytes()
    assert store.pull(model, source=url) == path
    assert len(server.asked) == 1
    # The same weights are the same bytes every time: manifests name them by a hash of the file.
    store.remove(model)
    assert store.pull(model, source=url).read_bytes() == before


def invalid_checkpoint(crnn: bytes, kind: str) -> bytes:
    if kind == "truncated":
        return crnn[:-1000]
    if kind == "wrong":
        return crnn[:-1] + bytes([crnn[-1] ^ 1])
    if kind == "code":
        return saved({"model": tagger_weights("crnn", "mtat"), "x": Calls(os.system, "touch MARK")})
    if kind == "empty":
        return b""
    return tagger_checkpoint("fcn", "mtat")


INVALID = [
    # What is served, and the words that it gets where the checksum is known, and where it is not. Without one
    # nothing tells a changed number from a right one.
    ("truncated", "bytes instead of", "damaged checkpoint"),
    ("wrong", "git blob id", None),
    ("code", "not the published file", r"would run code when loaded \(posix.system\)"),
    ("other", "not the published file", "another model than mtat/crnn: without"),
    ("empty", "not the published file", "not a PyTorch checkpoint; it is empty"),
    ("html", "gives a web page instead of weights", "gives a web page instead of weights"),
    ("html-as-data", "is a web page instead of weights", "is a web page instead of weights"),
    ("missing", "404", "404"),
]


@pytest.mark.parametrize(
    ("kind", "known", "message"),
    [(kind, True, message) for kind, message, _ in INVALID]
    + [(kind, False, message) for kind, _, message in INVALID if message],
)
def test_invalid_weights_are_refused_in_one_line_and_leave_the_cache_unchanged(
    server: Server,
    model: Model,
    crnn: bytes,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    known: bool,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if not known:
        model = dataclasses.replace(model, sha256=None, git_blob=None, size=None)
    if kind.startswith("html"):
        url = f"{server.base}/{kind}/crnn.pth"
    else:
        url = f"{server.base}/good/{kind}"
        if kind != "missing":
            server.files[kind] = invalid_checkpoint(crnn, kind)
    other = tmp_path / "fcn.pth"
    other.write_bytes(tagger_checkpoint("fcn", "msd"))
    beside = dataclasses.replace(model_by_identifier("msd/fcn"), git_blob=None, sha256=None)
    store.import_file(beside, other)
    before = cache(home)
    not_served = kind in ("html", "missing")
    with pytest.raises(MissingWeightsError if not_served else InvalidWeightsError, match=message) as refused:
        store.pull(model, source=url, observer=Recorder(), retry_policy=QUICK)
    assert "\n" not in str(refused.value) and str(home) not in str(refused.value)
    assert cache(home) == before
    assert not (tmp_path / "MARK").exists()


def test_the_published_file_of_another_model_is_named(shared: Path, home: Path) -> None:
    with pytest.raises(TagBoxError, match="not the published file of mtat/fcn: it is jamendo/fcn"):
        store.import_file(model_by_identifier("mtat/fcn"), shared / "weights" / "jamendo" / "fcn.pth")
    assert cache(home) == {}


def test_a_partial_download_of_another_file_is_discarded(
    server: Server, model: Model, crnn: bytes, home: Path
) -> None:
    part = home / "partial" / "mtat-crnn.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    observer = Recorder()
    path = store.pull(model, source=f"{server.base}/good/crnn.pth", observer=observer, retry_policy=QUICK)
    assert equal_weights(verification.load_safetensors(path), tagger_weights("crnn", "mtat"))
    assert any("once more from the start" in text for text in observer.messages)
    assert [span for _, span in server.asked] == ["bytes=1000-", None]


PULL_SCRIPT = """
import dataclasses, sys
from tagbox.weights import store
from tagbox.weights.catalogue import model_by_identifier
model = dataclasses.replace(model_by_identifier("mtat/crnn"), git_blob=sys.argv[2], sha256=None, size=None)
print(store.pull(model, source=sys.argv[1]))
"""


def start_pull(url: str, git_blob: str | None) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PULL_SCRIPT, url, str(git_blob)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_that_pull_at_once_download_once(server: Server, model: Model, home: Path) -> None:
    both = [start_pull(f"{server.base}/slow/crnn.pth", model.git_blob) for _ in range(2)]
    outputs = [each.communicate(timeout=120) for each in both]
    assert [each.returncode for each in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] == f"{home}/taggers/mtat/crnn.safetensors\n"
    assert len(server.asked) == 1
    assert sum("waiting for another program" in err for _, err in outputs) == 1
    assert list(cache(home)) == ["taggers/mtat/crnn.safetensors"]
    cache_file.verify_cached(model, store.weights_path(model))


def test_a_killed_pull_leaves_only_a_partial_file_that_the_next_resumes(
    server: Server, model: Model, home: Path, crnn: bytes
) -> None:
    first = start_pull(f"{server.base}/slow/crnn.pth", model.git_blob)
    part = home / "partial" / "mtat-crnn.part"
    deadline = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size > 100_000):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert list(cache(home)) == ["partial/mtat-crnn.part"] and store.availability(model) == "to be downloaded"
    have = part.stat().st_size
    assert have < len(crnn)
    path = store.pull(model, source=f"{server.base}/good/crnn.pth", observer=Recorder(), retry_policy=QUICK)
    assert server.asked[-1] == ("good", f"bytes={have}-")
    assert equal_weights(verification.load_safetensors(path), tagger_weights("crnn", "mtat"))


# The licence


def test_jukebox_is_not_pulled_before_its_licence_is_accepted(server: Server, home: Path) -> None:
    with pytest.raises(TagBoxError, match=r"Noncommercial.*--accept-license"):
        store.pull(model_by_identifier("jukebox"), source=f"{server.base}/good/vqvae.pth.tar")
    assert server.asked == [] and cache(home) == {}


@pytest.mark.parametrize("new", [False, True], ids=["old", "zip"])
def test_jukebox_is_accepted_by_names_and_shapes_and_the_acceptance_is_kept(
    server: Server, home: Path, jukebox_weights: dict[str, torch.Tensor], new: bool
) -> None:
    wrapped = OrderedDict((f"module.{key}", value) for key, value in jukebox_weights.items())
    content = saved({"model": wrapped, "hps": UnknownClass(levels=3), "step": 1}, new)
    server.files["vqvae.pth.tar"] = content
    model, observer = model_by_identifier("jukebox"), Recorder()
    path = store.pull(
        model,
        accept_license=True,
        source=f"{server.base}/good/vqvae.pth.tar",
        observer=observer,
        retry_policy=QUICK,
    )
    assert equal_weights(verification.load_safetensors(path), jukebox_weights)
    assert [
        text for text in observer.messages if "only one source gives" in text and str(model.sha256) in text
    ]
    kept = store.licence_acceptance(model)
    assert kept and kept["licence"] == "Noncommercial Use License" and kept["accepted"].startswith("20")
    assert store.verify(model) == path
    assert models.load_generator("jukebox").weights_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    store.remove(model)
    assert cache(home) == {} and store.licence_acceptance(model) is None


@pytest.mark.parametrize("kind", ["code", "other"])
def test_a_malicious_jukebox_is_refused_although_its_checksum_only_warns(
    server: Server, home: Path, crnn: bytes, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server.files[kind] = invalid_checkpoint(crnn, kind)
    with pytest.raises(
        TagBoxError, match="would run code" if kind == "code" else "another model than jukebox"
    ):
        store.pull(
            model_by_identifier("jukebox"),
            accept_license=True,
            source=f"{server.base}/good/{kind}",
            observer=Recorder(),
        )
    assert cache(home) == {} and not (tmp_path / "MARK").exists()


def test_the_licence_can_be_declined_at_the_prompt() -> None:
    """On a real terminal, in a process of its own."""
    ours, theirs = pty.openpty()
    asked = subprocess.Popen(
        [sys.executable, "-m", "tagbox", "models", "pull", "jukebox"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(ours, b"n\n")
    _, err = asked.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert asked.returncode == 2
    assert "Do you accept it?" in err and "--accept-license" in err and "Traceback" not in err


# What is kept


def test_a_damaged_cache_file_is_not_used_and_a_pull_repairs_it(server: Server, model: Model) -> None:
    url = f"{server.base}/good/crnn.pth"
    path = store.pull(model, source=url)
    good = path.read_bytes()
    for damaged in (good[:-1] + b"\xff", good[:1000], b"", good.replace(b"mtat/crnn", b"mtat/CRNN", 1)):
        path.write_bytes(damaged)
        with pytest.raises(InvalidWeightsError, match=r"tagbox models remove mtat/crnn"):
            store.locate("tagger", "crnn", "mtat")
        assert store.pull(model, source=url).read_bytes() == good


def test_verify_refuses_weights_that_do_not_come_from_the_published_file(
    server: Server, model: Model
) -> None:
    store.pull(model, source=f"{server.base}/good/crnn.pth")
    assert store.verify(model) == store.weights_path(model)
    with pytest.raises(TagBoxError, match="not the published ones"):
        store.verify(model_by_identifier("mtat/crnn"))


def test_checkpoints_and_files_of_another_cache_can_be_imported(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = model_by_identifier("mtat/hcnn")
    assert short.source and model_by_identifier("mtat/short").source is None
    unpublished = model_by_identifier("jamendo/short")
    weights = tagger_weights("short", "jamendo")
    (tmp_path / "own.pth").write_bytes(saved(weights, new=True))
    kept = store.import_file(unpublished, tmp_path / "own.pth")
    assert store.availability(unpublished) == "cached" and equal_weights(
        verification.load_safetensors(kept), weights
    )
    moved = tmp_path / "moved.safetensors"
    kept.rename(moved)
    assert store.availability(unpublished) == "absent"
    again = store.import_file(unpublished, moved)
    assert again.read_bytes() == moved.read_bytes()
    with pytest.raises(TagBoxError, match=r"holds jamendo/short instead of msd/short"):
        store.import_file(model_by_identifier("msd/short"), moved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved({"a": torch.tensor([float("nan")])}), "another model"),
        (saved(torch.ones(3)), "no weights by name"),
        (saved({"a": 1}), "more than weights"),
        (b"some text", "not a PyTorch checkpoint"),
        (None, "there is no file"),
    ],
)
def test_import_refuses_other_files(tmp_path: Path, home: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "f.pth").write_bytes(content)
    with pytest.raises(TagBoxError, match=message):
        store.import_file(model_by_identifier("mtat/short"), tmp_path / "f.pth")
    assert cache(home) == {}


def test_values_that_are_not_finite_are_refused(tmp_path: Path, home: Path) -> None:
    weights = tagger_weights("short", "mtat")
    next(value for value in weights.values() if value.is_floating_point()).view(-1)[0] = float("inf")
    (tmp_path / "f.pth").write_bytes(saved(weights))
    with pytest.raises(TagBoxError, match="not finite"):
        store.import_file(model_by_identifier("mtat/short"), tmp_path / "f.pth")
    assert cache(home) == {}


def test_a_cache_folder_that_cannot_be_written_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Model, server: Server
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path / "file"))
    with pytest.raises(UnwritableOutputError, match=r"cannot keep weights in .*set TAGBOX_HOME"):
        store.pull(model, source=f"{server.base}/good/crnn.pth")


def test_tagbox_home_replaces_the_platforms_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAGBOX_HOME")
    assert store.home().name == "tagbox" and store.home().is_absolute()
    monkeypatch.setenv("TAGBOX_HOME", "~/weights")
    assert store.home() == Path("~/weights").expanduser()


def test_weights_that_ship_with_the_package_are_valid() -> None:
    models = catalogue.models()
    shipped = [model for model in models if model.inside and store.availability(model) == "inside"]
    assert {"mtat/pons-musicnn"} <= {model.identifier for model in shipped}
    for model in shipped:
        assert store.verify(model) == store.pull(model) == store.weights_path(model)


# The command line


def mirror_of(server: Server, identifier: str, content: bytes) -> None:
    source = model_by_identifier(identifier).source or ""
    server.files[source.split("/", 3)[3]] = content


def test_weights_are_pulled_from_a_mirror_and_used(
    server: Server,
    shared: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
) -> None:
    """Published weights from end to end: pulled by the program, used by the library."""

    mirror_of(server, "mtat/crnn", (shared / "weights" / "mtat" / "crnn.pth").read_bytes())
    server.breaks_after = 1_000_000
    monkeypatch.setenv("TAGBOX_MIRROR", f"{server.base}/broken")
    code, out, err = run(capsys, monkeypatch, "models", "pull", "mtat/crnn")
    assert code == 0 and out == f"{home}/taggers/mtat/crnn.safetensors\n" and "trying again" in err
    assert run(capsys, monkeypatch, "models", "path", "mtat/crnn")[1] == out
    assert run(capsys, monkeypatch, "models", "verify", "mtat/crnn")[:2] == (0, "mtat/crnn: good\n")
    assert (
        models.load_tagger("crnn", "mtat").weights_hash
        == hashlib.sha256(Path(out.strip()).read_bytes()).hexdigest()
    )
    code, out, _ = run(capsys, monkeypatch, "models", "--json")
    (row,) = [row for row in json.loads(out) if row["model"] == "mtat/crnn"]
    assert (row["where"], row["licence"], row["kind"], row["data"]) == ("cached", "MIT", "tagger", "mtat")
    assert run(capsys, monkeypatch, "models", "remove", "mtat/crnn")[0] == 0
    assert cache(home) == {}


def test_one_failed_pull_does_not_prevent_the_others(
    server: Server,
    shared: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
) -> None:
    for name in ("crnn", "fcn"):
        mirror_of(server, f"msd/{name}", (shared / "weights" / "msd" / f"{name}.pth").read_bytes())
    monkeypatch.setenv("TAGBOX_MIRROR", f"{server.base}/good")
    code, out, err = run(capsys, monkeypatch, "models", "pull", "--all-of", "msd")
    assert code == 2
    assert sorted(out.split()) == [f"{home}/taggers/msd/{name}.safetensors" for name in ("crnn", "fcn")]
    assert "tagbox: 7 of 9 models could not be pulled; see above" in err
    assert "Traceback" not in err


def test_the_table_lists_every_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run(capsys, monkeypatch, "models")
    assert code == 0
    for model in catalogue.models():
        assert re.search(
            rf"^ *{model.identifier} .* {re.escape(store.availability(model))} *$", out, re.MULTILINE
        )
    assert re.search(r"jukebox +44\.1 +Noncommercial +tagbox +to be downloaded", out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pull", "mtat/fnc"), "did you mean mtat/fcn"),
        (("pull",), "which model?"),
        (("pull", "jukebox"), "--accept-license"),
        (("pull", "mtat/short"), "nobody publishes"),
        (("pull", "--all-of", "mtg"), "choose one of mtat, jamendo, msd"),
        (("path", "mtat/fcn"), "tagbox models pull mtat/fcn"),
        (("path", "jukebox"), "tagbox models pull jukebox --accept-license"),
        (("verify", "mtat/fcn"), "tagbox models pull mtat/fcn"),
        (("remove", "mtat/fcn"), "not in the cache"),
        (("remove", "embedded"), "ships inside"),
        (("import", "nothing.pth", "--as", "mtat/fcn"), "there is no file nothing.pth"),
        (("import", "nothing.pth", "--as", "embedded"), "ships inside"),
    ],
)
def test_mistakes_are_reported_in_one_line_with_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    code, out, err = run(capsys, monkeypatch, "models", *words)
    assert (code, out) == (2, "")
    assert err.startswith("tagbox: ") and err.count("\n") == 1 and message in err
    assert cache(home) == {}


def test_listing_models_does_not_import_torch() -> None:
    message = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tagbox", "models"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in message.stderr.splitlines() if "|" in line}
    assert "tagbox.weights.store" in imported
    assert not imported & {"torch", "numpy", "requests"}


def test_a_refused_download_exits_with_code_2(server: Server, home: Path) -> None:
    environment = os.environ | {"TAGBOX_MIRROR": f"{server.base}/html"}
    message = subprocess.run(
        [sys.executable, "-m", "tagbox", "models", "pull", "mtat/fcn"],
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    assert message.returncode == 2 and message.stdout == ""
    assert message.stderr.count("\n") == 1 and "gives a web page instead of weights" in message.stderr
    assert cache(home) == {}
