"""Weights: known by their checksums, brought over bad connections, read as data, kept whole or not at all."""

import contextlib
import dataclasses
import hashlib
import http.server
import io
import itertools
import json
import os
import pickle
import pty
import re
import signal as signals
import subprocess
import sys
import threading
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.golden import recipe_weights
from tagbox import models
from tagbox.cli import main
from tagbox.errors import TagBoxError
from tagbox.weights import cache_file, catalogue, checkpoint_reader, download, store, verification
from tagbox.weights.catalogue import MODELS, Model, model_by_identifier
from tagbox.weights.download import RetryPolicy
from tagbox.weights.safe_unpickler import InertObject

QUICK = RetryPolicy(max_attempts=3, pause_seconds=0.01, timeout_seconds=2.0)


class Server:
    """A real server on localhost; what it does with a file depends on the folder that it is asked from.

    good, no-range, broken (closes the connection after `breaks_after` bytes of each answer), stuck (the same,
    and knows no ranges), html, html-as-data, busy (503 twice, then good), slow (a little at a time).
    """

    breaks_after = 400_000

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                outer.answer(self)

        class Http(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Clients leave as they like."""

        self._http = Http(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        how, _, name = request.path.lstrip("/").partition("/")
        span = request.headers.get("Range")
        self.asked.append((how, span))
        if how == "html":
            return self._send(
                request, 200, b"<html><body>Please log in</body></html>", "text/html; charset=utf-8"
            )
        if how == "html-as-data":
            return self._send(request, 200, b"\n<!DOCTYPE html><html>Please log in</html>")
        if how == "busy" and len(self.asked) < 3:
            return self._send(request, 503, b"later")
        body = self.files.get(name)
        if body is None:
            return self._send(request, 404, b"no such file")
        first, code = 0, 200
        if span and how not in ("no-range", "stuck"):
            first, code = int(re.fullmatch(r"bytes=(\d+)-", span)[1]), 206
            if first >= len(body):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(body)}")
                request.send_header("Content-Length", "0")
                request.end_headers()
                return None
        request.send_response(code)
        request.send_header("Content-Type", "application/octet-stream")
        request.send_header("Content-Length", str(len(body) - first))
        if code == 206:
            request.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        request.end_headers()
        rest = body[first:]
        with contextlib.suppress(ConnectionError):
            if how in ("broken", "stuck"):
                request.wfile.write(rest[: self.breaks_after])
                request.close_connection = True
            elif how == "slow":
                for i in range(0, len(rest), 65536):
                    request.wfile.write(rest[i : i + 65536])
                    time.sleep(0.05)
            else:
                request.wfile.write(rest)
        return None

    @staticmethod
    def _send(
        request: http.server.BaseHTTPRequestHandler,
        code: int,
        body: bytes,
        kind: str = "application/octet-stream",
    ) -> None:
        request.send_response(code)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


class Recorder:
    """An observer that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.progress: list[tuple[int, int | None]] = []

    def on_progress(self, done: int, total: int | None) -> None:
        self.progress.append((done, total))

    def on_message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test."""
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TAGBOX_MIRROR", raising=False)
    return tmp_path / "home"


def checkpoint_of(name: str, data: str) -> dict[str, torch.Tensor]:
    """Weights with the names and shapes of a published tagger, whatever their values."""
    from tagbox.taggers import registry

    shapes = registry.expected_shapes(name, data)
    drawn = recipe_weights(shapes)
    for key, shape in shapes.items():
        if key not in drawn:
            dtype = torch.int64 if key.endswith("num_batches_tracked") else torch.float32
            drawn[key] = torch.ones(shape, dtype=dtype)
    return OrderedDict((key, drawn[key]) for key in shapes)


def saved(what: object, new: bool = False) -> bytes:
    """As `torch.save` writes it, in the old format or as a zip archive."""
    file = io.BytesIO()
    torch.save(what, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.fixture(scope="session")
def crnn() -> bytes:
    """A checkpoint in the form of the published ones."""
    return saved(checkpoint_of("crnn", "mtat"))


@pytest.fixture
def model(crnn: bytes, server: Server) -> Model:
    """mtat/crnn, as if `crnn` were its published file; its server serves it as ``crnn.pth``."""
    server.files["crnn.pth"] = crnn
    return dataclasses.replace(
        model_by_identifier("mtat/crnn"),
        size=len(crnn),
        sha256=hashlib.sha256(crnn).hexdigest(),
        git_blob=blob(crnn),
    )


def cache(home: Path) -> dict[str, bytes]:
    """All that is kept; locks are empty and stay."""
    files = (path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def same(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return weights.keys() == others.keys() and all(
        weights[key].dtype == others[key].dtype and torch.equal(weights[key], others[key]) for key in weights
    )


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
    published = [model for model in MODELS if model.source and model.kind == "tagger"]
    assert len(published) == 24
    for model in published:
        assert re.fullmatch("[0-9a-f]{40}", model.git_blob or "")
        assert "/2969b12498d9c8efa749d99c3ba7a36487b02d21/" in model.source
        assert model.source.endswith(f"/models/{model.identifier}/best_model.pth")
    assert len({model.git_blob for model in published}) == 24
    assert len({model.identifier for model in MODELS}) == len(MODELS)


def test_the_files_at_hand_have_the_checksums_of_the_catalogue(shared: Path) -> None:
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
def test_a_misspelt_name_gets_the_nearest_ones(typed: str, meant: str) -> None:
    with pytest.raises(TagBoxError, match=f"no model is called '{typed}'.*{meant}"):
        model_by_identifier(typed)


def test_names_are_found_whatever_their_capitals() -> None:
    assert model_by_identifier("MTAT/FCN") is catalogue.find_model("tagger", "fcn", "mtat")


# Reading as data


class Settings(dict):
    """Stands for a class that a checkpoint's reader does not have."""


class Calls:
    """Pickled as a call of `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


@pytest.mark.parametrize("new", [False, True], ids=["old", "zip"])
def test_weights_beside_objects_of_unknown_classes_are_read(tmp_path: Path, new: bool) -> None:
    weights = OrderedDict(
        [
            ("module.a", torch.randn(3, 4)),
            ("module.turned", torch.randn(4, 6).t()[1:]),
            ("module.count", torch.tensor(7)),
            ("module.half", torch.randn(5).to(torch.bfloat16)),
            ("module.nothing", torch.zeros(0, 3)),
        ]
    )
    hps = Settings(width=32)
    hps.path = Path("logs")
    whole = {"model": weights, "hps": hps, "step": 5, "act": torch.nn.functional.relu, "opt": [Settings()]}
    (tmp_path / "c.tar").write_bytes(saved(whole, new))
    data = checkpoint_reader.read_checkpoint(tmp_path / "c.tar")
    assert data["step"] == 5
    assert isinstance(data["hps"], InertObject) and isinstance(data["opt"][0], InertObject)
    expected = {name.removeprefix("module."): value for name, value in weights.items()}
    assert same(checkpoint_reader.read_state_dict(tmp_path / "c.tar"), expected)


def test_our_reader_of_the_old_format_agrees_with_pytorch_on_published_files(shared: Path) -> None:
    for name in ("mtat/crnn", "msd/fcn"):
        path = shared / "weights" / f"{name}.pth"
        assert same(
            dict(checkpoint_reader._read_legacy(path)),
            dict(torch.load(path, map_location="cpu", weights_only=True)),
        )


HOSTILE: list[tuple[Callable[..., object], tuple[object, ...], str]] = [
    (os.system, ("touch MARK",), "posix.system"),
    (subprocess.Popen, (["touch", "MARK"],), "Popen"),
    (eval, ("open('MARK', 'w')",), "eval"),
    (exec, ("open('MARK', 'w')",), "exec"),
    (__import__, ("antigravity",), "__import__"),
    (open, ("MARK", "w"), "open"),
    (getattr, (1, "real"), "getattr"),
    (torch.load, ("x",), "torch.serialization.load"),
    (torch.hub.load, ("x", "y"), "torch.hub.load"),
]


@pytest.mark.parametrize("form", ["old", "zip", "bare"])
@pytest.mark.parametrize(("function", "arguments", "named"), HOSTILE, ids=[each[2] for each in HOSTILE])
def test_a_pickle_with_code_is_refused_and_nothing_of_it_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    function: Callable[..., object],
    arguments: tuple[object, ...],
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    what = {"model": {"a": torch.ones(2)} if form != "bare" else {}, "hps": Calls(function, *arguments)}
    content = pickle.dumps(what) if form == "bare" else saved(what, form == "zip")
    (tmp_path / "evil.pth").write_bytes(content)
    with pytest.raises(TagBoxError, match=rf"evil.pth would run code when loaded \(.*{named}\)"):
        checkpoint_reader.read_checkpoint(tmp_path / "evil.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]


@pytest.mark.parametrize("new", [False, True], ids=["old", "zip"])
def test_a_part_of_a_checkpoint_is_refused_wherever_it_was_cut(tmp_path: Path, new: bool) -> None:
    content = saved({"model": {"a": torch.randn(50)}, "hps": Settings()}, new)
    path = tmp_path / "cut.pth"
    for kept in (0, 1, 10, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(TagBoxError, match=r"cut\.pth is (not a PyTorch|a damaged) checkpoint"):
            checkpoint_reader.read_checkpoint(path)


@pytest.mark.parametrize(
    ("size", "stride", "offset"), [((2**40,), (0,), 0), ((8,), (1,), 5), ((3, 3), (4, 1), 0)]
)
def test_a_tensor_beyond_its_storage_is_refused(
    tmp_path: Path, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    class Beyond:
        def __init__(self, tensor: torch.Tensor) -> None:
            self.storage = torch.storage.TypedStorage(
                wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True
            )

        def __reduce__(self) -> tuple[object, ...]:
            rebuild = torch._utils._rebuild_tensor_v2
            return rebuild, (self.storage, offset, size, stride, False, OrderedDict())

    content = saved({"a": Beyond(torch.ones(10)), "hps": Settings()}, new=True)
    (tmp_path / "beyond.pth").write_bytes(content)
    with pytest.raises(TagBoxError, match="damaged"):
        checkpoint_reader.read_checkpoint(tmp_path / "beyond.pth")


def test_a_compressed_archive_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain.pth"
    plain.write_bytes(saved({"a": torch.zeros(1000), "hps": Settings()}, new=True))
    with (
        zipfile.ZipFile(plain) as old,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(TagBoxError, match="damaged"):
        checkpoint_reader.read_checkpoint(tmp_path / "bomb.pth")


SMALL = {new: saved({"model": {"a": torch.arange(6.0)}, "hps": Settings(a=1)}, new) for new in (False, True)}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(new=st.booleans(), where=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_and_nothing_else(
    tmp_path: Path, new: bool, where: int, value: int
) -> None:
    content = bytearray(SMALL[new])
    content[where % len(content)] = value
    path = tmp_path / "changed.pth"
    path.write_bytes(content)
    try:
        data = checkpoint_reader.read_checkpoint(path)
    except TagBoxError as error:
        assert "\n" not in str(error)
    else:
        assert data is not None


# Downloading


@pytest.mark.parametrize("how", ["good", "no-range", "slow", "busy", "broken"])
def test_all_of_a_file_arrives_from_servers_of_every_temper(
    server: Server, tmp_path: Path, crnn: bytes, how: str
) -> None:
    server.files["f"] = crnn
    observer = Recorder()
    download.download(f"{server.base}/{how}/f", tmp_path / "f.part", observer, QUICK)
    assert (tmp_path / "f.part").read_bytes() == crnn
    assert observer.progress[-1] == (len(crnn), len(crnn))
    assert [done for done, _ in observer.progress] == sorted(done for done, _ in observer.progress)


def test_a_broken_download_goes_on_where_it_stopped(server: Server, tmp_path: Path, crnn: bytes) -> None:
    server.files["f"] = crnn
    observer = Recorder()
    download.download(f"{server.base}/broken/f", tmp_path / "f.part", observer, QUICK)
    starts = [int(span[6:-1]) if span else 0 for _, span in server.asked]
    steps = [after - before for before, after in itertools.pairwise(starts)]
    assert len(steps) >= 4
    assert all(server.breaks_after - download.CHUNK_BYTES < step <= server.breaks_after for step in steps)
    assert all("trying again" in text for text in observer.messages) and len(observer.messages) == len(starts) - 1


def test_a_connection_that_never_gets_further_is_given_up(
    server: Server, tmp_path: Path, crnn: bytes
) -> None:
    server.files["f"] = crnn
    with pytest.raises(TagBoxError, match=r"the connection (broke|ended).*; run it again"):
        download.download(f"{server.base}/stuck/f", tmp_path / "f.part", Recorder(), QUICK)
    # The first attempt brought something; each of the others nothing more.
    assert len(server.asked) == QUICK.max_attempts
    have = (tmp_path / "f.part").stat().st_size
    download.download(f"{server.base}/good/f", tmp_path / "f.part", Recorder(), QUICK)
    assert server.asked[-1] == ("good", f"bytes={have}-") and have > 350_000
    assert (tmp_path / "f.part").read_bytes() == crnn


def test_what_is_complete_already_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    server.files["f"] = b"0123456789"
    (tmp_path / "f.part").write_bytes(b"0123456789")
    observer = Recorder()
    download.download(f"{server.base}/good/f", tmp_path / "f.part", observer, QUICK)
    assert observer.progress == []
    (tmp_path / "f.part").write_bytes(b"0123456789 and more")
    download.download(f"{server.base}/good/f", tmp_path / "f.part", observer, QUICK)
    assert (tmp_path / "f.part").read_bytes() == b"0123456789"


def test_no_server_is_said_at_once(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(TagBoxError, match=r"cannot get http://127.0.0.1:9/f: the server cannot be reached"):
        download.download("http://127.0.0.1:9/f", tmp_path / "f.part", Recorder(), RetryPolicy(pause_seconds=5.0))
    assert time.monotonic() - start < 4


def test_a_mirror_takes_the_place_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGBOX_MIRROR", "http://mirror:80/weights/")
    assert download.mirrored("https://host/a/b.pth") == "http://mirror:80/weights/a/b.pth"
    monkeypatch.setenv("TAGBOX_MIRROR", "mirror")
    with pytest.raises(TagBoxError, match="TAGBOX_MIRROR is 'mirror'"):
        download.mirrored("https://host/a/b.pth")


# Pulling


@pytest.mark.parametrize("how", ["good", "broken"])
def test_what_is_pulled_is_kept_as_safetensors_with_its_origin(
    server: Server, model: Model, crnn: bytes, home: Path, how: str
) -> None:
    assert store.availability(model) == "to be downloaded"
    path = store.pull(model, source=f"{server.base}/{how}/crnn.pth", observer=Recorder(), retry_policy=QUICK)
    assert same(verification.load_safetensors(path), checkpoint_of("crnn", "mtat"))
    said = cache_file.read_metadata(path)
    assert said["original_sha256"] == model.sha256 and said["original_git_blob"] == model.git_blob
    assert said["licence"] == "MIT" and said["source"] == model.source and said["model"] == "mtat/crnn"
    assert list(cache(home)) == ["taggers/mtat/crnn.safetensors"]
    assert store.availability(model) == "cached" and store.locate("tagger", "crnn", "mtat") == path


def test_what_is_at_hand_is_not_pulled_again(server: Server, model: Model) -> None:
    url = f"{server.base}/good/crnn.pth"
    path = store.pull(model, source=url)
    before = path.read_bytes()
    assert store.pull(model, source=url) == path
    assert len(server.asked) == 1
    # The same weights are the same bytes every time: manifests name them by a hash of the file.
    store.remove(model)
    assert store.pull(model, source=url).read_bytes() == before


def spoilt(crnn: bytes, kind: str) -> bytes:
    if kind == "truncated":
        return crnn[:-1000]
    if kind == "wrong":
        return crnn[:-1] + bytes([crnn[-1] ^ 1])
    if kind == "code":
        return saved({"model": checkpoint_of("crnn", "mtat"), "x": Calls(os.system, "touch MARK")})
    if kind == "empty":
        return b""
    return saved(checkpoint_of("fcn", "mtat"))


SPOILT = [
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
    ("kind", "known", "told"),
    [(kind, True, told) for kind, told, _ in SPOILT]
    + [(kind, False, told) for kind, _, told in SPOILT if told],
)
def test_spoilt_weights_get_one_clear_line_and_leave_the_cache_as_it_was(
    server: Server,
    model: Model,
    crnn: bytes,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    known: bool,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if not known:
        model = dataclasses.replace(model, sha256=None, git_blob=None, size=None)
    if kind.startswith("html"):
        url = f"{server.base}/{kind}/crnn.pth"
    else:
        url = f"{server.base}/good/{kind}"
        if kind != "missing":
            server.files[kind] = spoilt(crnn, kind)
    other = tmp_path / "fcn.pth"
    other.write_bytes(saved(checkpoint_of("fcn", "msd")))
    beside = dataclasses.replace(model_by_identifier("msd/fcn"), git_blob=None, sha256=None)
    store.import_file(beside, other)
    before = cache(home)
    with pytest.raises(TagBoxError, match=told) as refused:
        store.pull(model, source=url, observer=Recorder(), retry_policy=QUICK)
    assert "\n" not in str(refused.value) and str(home) not in str(refused.value)
    assert cache(home) == before
    assert not (tmp_path / "MARK").exists()


def test_another_published_model_is_named(shared: Path, home: Path) -> None:
    with pytest.raises(TagBoxError, match="not the published file of mtat/fcn: it is jamendo/fcn"):
        store.import_file(model_by_identifier("mtat/fcn"), shared / "weights" / "jamendo" / "fcn.pth")
    assert cache(home) == {}


def test_a_wrong_beginning_left_by_an_earlier_run_does_not_spoil_the_file(
    server: Server, model: Model, crnn: bytes, home: Path
) -> None:
    part = home / "partial" / "mtat-crnn.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    observer = Recorder()
    path = store.pull(model, source=f"{server.base}/good/crnn.pth", observer=observer, retry_policy=QUICK)
    assert same(verification.load_safetensors(path), checkpoint_of("crnn", "mtat"))
    assert any("once more from the start" in text for text in observer.messages)
    assert [span for _, span in server.asked] == ["bytes=1000-", None]


PULLER = """
import dataclasses, sys
from tagbox.weights import store
from tagbox.weights.catalogue import model_by_identifier
model = dataclasses.replace(model_by_identifier("mtat/crnn"), git_blob=sys.argv[2], sha256=None, size=None)
print(store.pull(model, source=sys.argv[1]))
"""


def puller(url: str, git_blob: str | None) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PULLER, url, str(git_blob)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_programs_that_pull_at_once_download_once(server: Server, model: Model, home: Path) -> None:
    both = [puller(f"{server.base}/slow/crnn.pth", model.git_blob) for _ in range(2)]
    outputs = [each.communicate(timeout=120) for each in both]
    assert [each.returncode for each in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] == f"{home}/taggers/mtat/crnn.safetensors\n"
    assert len(server.asked) == 1
    assert sum("waiting for another program" in err for _, err in outputs) == 1
    assert list(cache(home)) == ["taggers/mtat/crnn.safetensors"]
    cache_file.verify_cached(model, store.weights_path(model))


def test_a_killed_pull_leaves_nothing_half_and_the_next_goes_on(
    server: Server, model: Model, home: Path, crnn: bytes
) -> None:
    first = puller(f"{server.base}/slow/crnn.pth", model.git_blob)
    part = home / "partial" / "mtat-crnn.part"
    deadline = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size > 100_000):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.01)
    first.send_signal(signals.SIGKILL)
    first.communicate()
    assert list(cache(home)) == ["partial/mtat-crnn.part"] and store.availability(model) == "to be downloaded"
    have = part.stat().st_size
    assert have < len(crnn)
    path = store.pull(model, source=f"{server.base}/good/crnn.pth", observer=Recorder(), retry_policy=QUICK)
    assert server.asked[-1] == ("good", f"bytes={have}-")
    assert same(verification.load_safetensors(path), checkpoint_of("crnn", "mtat"))


# The licence


def test_jukebox_is_not_pulled_before_its_licence_is_accepted(server: Server, home: Path) -> None:
    with pytest.raises(TagBoxError, match=r"Noncommercial.*--accept-license"):
        store.pull(model_by_identifier("jukebox"), source=f"{server.base}/good/vqvae.pth.tar")
    assert server.asked == [] and cache(home) == {}


@pytest.mark.parametrize("new", [False, True], ids=["old", "zip"])
def test_jukebox_rests_on_names_and_shapes_and_keeps_the_acceptance(
    server: Server, home: Path, new: bool
) -> None:
    from tagbox.generators import jukebox

    weights = recipe_weights(jukebox.expected_shapes())
    wrapped = OrderedDict((f"module.{key}", value) for key, value in weights.items())
    content = saved({"model": wrapped, "hps": Settings(levels=3), "step": 1}, new)
    server.files["vqvae.pth.tar"] = content
    model, observer = model_by_identifier("jukebox"), Recorder()
    path = store.pull(
        model, accept_license=True, source=f"{server.base}/good/vqvae.pth.tar", observer=observer, retry_policy=QUICK
    )
    assert same(verification.load_safetensors(path), weights)
    assert [text for text in observer.messages if "only one source gives" in text and str(model.sha256) in text]
    kept = store.licence_acceptance(model)
    assert kept and kept["licence"] == "Noncommercial Use License" and kept["accepted"].startswith("20")
    assert store.verify(model) == path
    assert models.load_generator("jukebox").weights_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    store.remove(model)
    assert cache(home) == {} and store.licence_acceptance(model) is None


@pytest.mark.parametrize("kind", ["code", "other"])
def test_a_hostile_jukebox_is_refused_though_its_checksum_only_warns(
    server: Server, home: Path, crnn: bytes, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server.files[kind] = spoilt(crnn, kind)
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


def test_the_prompt_takes_no_for_an_answer() -> None:
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


def test_a_changed_file_in_the_cache_is_not_used_and_a_pull_repairs_it(server: Server, model: Model) -> None:
    url = f"{server.base}/good/crnn.pth"
    path = store.pull(model, source=url)
    good = path.read_bytes()
    for spoil in (good[:-1] + b"\xff", good[:1000], b"", good.replace(b"mtat/crnn", b"mtat/CRNN", 1)):
        path.write_bytes(spoil)
        with pytest.raises(TagBoxError, match=r"tagbox models remove mtat/crnn"):
            store.locate("tagger", "crnn", "mtat")
        assert store.pull(model, source=url).read_bytes() == good


def test_verify_knows_weights_that_were_not_made_of_the_published_file(server: Server, model: Model) -> None:
    store.pull(model, source=f"{server.base}/good/crnn.pth")
    assert store.verify(model) == store.weights_path(model)
    with pytest.raises(TagBoxError, match="not the published ones"):
        store.verify(model_by_identifier("mtat/crnn"))


def test_import_takes_checkpoints_and_what_another_cache_kept(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = model_by_identifier("mtat/hcnn")
    assert short.source and model_by_identifier("mtat/short").source is None
    unpublished = model_by_identifier("jamendo/short")
    weights = checkpoint_of("short", "jamendo")
    (tmp_path / "own.pth").write_bytes(saved(weights, new=True))
    kept = store.import_file(unpublished, tmp_path / "own.pth")
    assert store.availability(unpublished) == "cached" and same(verification.load_safetensors(kept), weights)
    moved = tmp_path / "moved.safetensors"
    kept.rename(moved)
    assert store.availability(unpublished) == "absent"
    again = store.import_file(unpublished, moved)
    assert again.read_bytes() == moved.read_bytes()
    with pytest.raises(TagBoxError, match=r"holds jamendo/short instead of msd/short"):
        store.import_file(model_by_identifier("msd/short"), moved)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (saved({"a": torch.tensor([float("nan")])}), "another model"),
        (saved(torch.ones(3)), "no weights by name"),
        (saved({"a": 1}), "more than weights"),
        (b"some text", "not a PyTorch checkpoint"),
        (None, "there is no file"),
    ],
)
def test_import_refuses_other_files_in_a_line(
    tmp_path: Path, home: Path, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "f.pth").write_bytes(content)
    with pytest.raises(TagBoxError, match=told):
        store.import_file(model_by_identifier("mtat/short"), tmp_path / "f.pth")
    assert cache(home) == {}


def test_values_that_are_not_finite_are_refused(tmp_path: Path, home: Path) -> None:
    weights = checkpoint_of("short", "mtat")
    next(value for value in weights.values() if value.is_floating_point()).view(-1)[0] = float("inf")
    (tmp_path / "f.pth").write_bytes(saved(weights))
    with pytest.raises(TagBoxError, match="not finite"):
        store.import_file(model_by_identifier("mtat/short"), tmp_path / "f.pth")
    assert cache(home) == {}


def test_a_home_that_cannot_be_written_is_a_clear_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Model, server: Server
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path / "file"))
    with pytest.raises(TagBoxError, match=r"cannot keep weights in .*set TAGBOX_HOME"):
        store.pull(model, source=f"{server.base}/good/crnn.pth")


def test_the_platforms_cache_is_the_home_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAGBOX_HOME")
    assert store.home().name == "tagbox" and store.home().is_absolute()
    monkeypatch.setenv("TAGBOX_HOME", "~/weights")
    assert store.home() == Path("~/weights").expanduser()


def test_what_ships_inside_is_good() -> None:
    shipped = [model for model in MODELS if model.inside and store.availability(model) == "inside"]
    assert {"mtat/pons-musicnn"} <= {model.identifier for model in shipped}
    for model in shipped:
        assert store.verify(model) == store.pull(model) == store.weights_path(model)


# The command line


def mirror_of(server: Server, identifier: str, content: bytes) -> None:
    source = model_by_identifier(identifier).source or ""
    server.files[source.split("/", 3)[3]] = content


def test_from_a_mirror_to_tags(
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


def test_one_that_fails_does_not_keep_the_others(
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
    for model in MODELS:
        assert re.search(rf"^ *{model.identifier} .* {re.escape(store.availability(model))} *$", out, re.MULTILINE)
    assert re.search(r"jukebox +generator +\? +Noncommercial +to be downloaded", out)


@pytest.mark.parametrize(
    ("words", "told"),
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
def test_mistakes_get_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    words: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    code, out, err = run(capsys, monkeypatch, "models", *words)
    assert (code, out) == (2, "")
    assert err.startswith("tagbox: ") and err.count("\n") == 1 and told in err
    assert cache(home) == {}


def test_listing_does_not_wait_for_torch() -> None:
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tagbox", "models"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines() if "|" in line}
    assert "tagbox.weights.store" in imported
    assert not imported & {"torch", "numpy", "requests"}


def test_a_refusal_in_a_process_of_its_own(server: Server, home: Path) -> None:
    environment = os.environ | {"TAGBOX_MIRROR": f"{server.base}/html"}
    told = subprocess.run(
        [sys.executable, "-m", "tagbox", "models", "pull", "mtat/fcn"],
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    assert told.returncode == 2 and told.stdout == ""
    assert told.stderr.count("\n") == 1 and "gives a web page instead of weights" in told.stderr
    assert cache(home) == {}
