"""Checkpoints are read as data: nothing in them runs, and what is damaged is refused."""

import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.robustness.checkpoints import Calls, UnknownClass, equal_weights, saved
from tagbox.errors import InvalidWeightsError
from tagbox.weights import checkpoint_reader
from tagbox.weights.safe_unpickler import InertObject


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("new", [False, True], ids=["legacy", "zip"])
def test_weights_beside_objects_of_unknown_classes_are_read(tmp_path: Path, new: bool) -> None:
    weights = OrderedDict(
        [
            ("module.a", drawn(3, 4)),
            ("module.turned", drawn(4, 6).t()[1:]),
            ("module.count", torch.tensor(7)),
            ("module.half", drawn(5).to(torch.bfloat16)),
            ("module.nothing", torch.zeros(0, 3)),
        ]
    )
    hps = UnknownClass(width=32)
    hps.path = Path("logs")
    others = {"hps": hps, "step": 5, "act": torch.nn.functional.relu, "opt": [UnknownClass()]}
    (tmp_path / "c.tar").write_bytes(saved({"model": weights, **others}, new))
    data = checkpoint_reader.read_checkpoint(tmp_path / "c.tar")
    assert data["step"] == 5
    assert isinstance(data["hps"], InertObject) and isinstance(data["opt"][0], InertObject)
    expected = {name.removeprefix("module."): value for name, value in weights.items()}
    assert equal_weights(checkpoint_reader.read_state_dict(tmp_path / "c.tar"), expected)


def test_the_legacy_reader_agrees_with_pytorch_on_published_files(shared: Path) -> None:
    for name in ("mtat/crnn", "msd/fcn"):
        path = shared / "weights" / f"{name}.pth"
        assert equal_weights(
            dict(checkpoint_reader._read_legacy(path)),
            dict(torch.load(path, map_location="cpu", weights_only=True)),
        )


MALICIOUS: list[tuple[Callable[..., object], tuple[object, ...], str]] = [
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


@pytest.mark.parametrize("form", ["legacy", "zip", "bare"])
@pytest.mark.parametrize(("function", "arguments", "named"), MALICIOUS, ids=[each[2] for each in MALICIOUS])
def test_a_pickle_with_code_is_refused_and_does_not_run(
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
    with pytest.raises(InvalidWeightsError, match=rf"evil.pth would run code when loaded \(.*{named}\)"):
        checkpoint_reader.read_checkpoint(tmp_path / "evil.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]


@pytest.mark.parametrize("new", [False, True], ids=["legacy", "zip"])
def test_a_truncated_checkpoint_is_refused_wherever_it_was_cut(tmp_path: Path, new: bool) -> None:
    content = saved({"model": {"a": drawn(50)}, "hps": UnknownClass()}, new)
    path = tmp_path / "cut.pth"
    for kept in (0, 1, 10, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(InvalidWeightsError, match=r"cut\.pth is (not a PyTorch|a damaged) checkpoint"):
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

    content = saved({"a": Beyond(torch.ones(10)), "hps": UnknownClass()}, new=True)
    (tmp_path / "beyond.pth").write_bytes(content)
    with pytest.raises(InvalidWeightsError, match="damaged"):
        checkpoint_reader.read_checkpoint(tmp_path / "beyond.pth")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain.pth"
    plain.write_bytes(saved({"a": torch.zeros(1000), "hps": UnknownClass()}, new=True))
    with (
        zipfile.ZipFile(plain) as old,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(InvalidWeightsError, match="damaged"):
        checkpoint_reader.read_checkpoint(tmp_path / "bomb.pth")


SMALL = {
    new: saved({"model": {"a": torch.arange(6.0)}, "hps": UnknownClass(a=1)}, new) for new in (False, True)
}


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(new=st.booleans(), where=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_checkpoint_with_a_changed_byte_is_read_or_refused(
    tmp_path: Path, new: bool, where: int, value: int
) -> None:
    content = bytearray(SMALL[new])
    content[where % len(content)] = value
    path = tmp_path / "changed.pth"
    path.write_bytes(content)
    try:
        data = checkpoint_reader.read_checkpoint(path)
    except InvalidWeightsError as error:
        assert "\n" not in str(error)
    else:
        assert data is not None
