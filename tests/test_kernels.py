"""Every kernel says what it computes the same as, and which test shows that."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from tagbox import kernels

ROOT = Path(__file__).resolve().parents[1]
NAMES = [module.name for module in pkgutil.iter_modules(kernels.__path__)]


@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_names_its_plain_twin_and_its_parity_test(name: str) -> None:
    if name == "residual_triton":
        pytest.importorskip("triton", reason="Triton is not installed (pip install triton)")
    documentation = importlib.import_module(f"tagbox.kernels.{name}").__doc__
    assert documentation
    first_line, *_ = documentation.splitlines()
    assert "the same" in first_line
    assert "Plain twin" in documentation
    tests = re.findall(r"tests/test_\w+\.py", documentation)
    assert tests
    for test in tests:
        assert re.search(rf"\b{name}\b", (ROOT / test).read_text()), f"{test} does not test {name}"
