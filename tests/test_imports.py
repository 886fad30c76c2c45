"""Imports go one way: from the programs down to the tensors, without a circle."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "tagbox"

LAYERS = (
    (
        *(
            "corrections",
            "errors",
            "settings",
            "tags",
            "atomic_files",
            "temporary_files",
            "signals",
            "memory",
            "state_dict",
        ),
        *("registry", "numerics", "audio", "plugins", "snapshots"),
    ),
    ("kernels",),
    ("parallel",),
    ("taggers", "generators"),
    ("weights",),
    ("models", "methods", "free_text"),
    ("presets",),
    ("pipeline",),
    ("api", "projects", "results", "manifest", "tagging", "plots", "export"),
    ("evaluation", "rendering"),
    ("cli", "ui", "doctor"),
    ("__main__",),
)
"""From the lowest to the highest; a module may import its own layer and those below it."""

LIGHT = (
    *(
        "settings",
        "presets",
        "corrections",
        "errors",
        "audio.validation",
        "taggers.names",
        "tags.query",
        "tags.resolve",
    ),
    *("plugins", "plugins.discovery", "methods.registry", "weights.catalogue", "weights.store"),
    *("weights.hub", "weights.codecs", "weights.verification", "free_text"),
)
"""Modules that the command line reads before it knows whether PyTorch is needed."""


def modules() -> dict[str, Path]:
    """Every module by its dotted name without the package's."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports_of(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield every module of the package that a module imports, at its top or in a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tagbox":
            base = node.module.removeprefix("tagbox").removeprefix(".")
            for alias in node.names:
                submodule = f"{base}.{alias.name}".removeprefix(".")
                target = submodule if submodule in known else base
                if target != name:
                    yield target
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "tagbox" or alias.name.startswith("tagbox."):
                    yield alias.name.removeprefix("tagbox").removeprefix(".")


def layer_of(module: str) -> int | None:
    """The position of a module's layer; None for the package itself, which imports lazily."""
    first = module.partition(".")[0]
    return next((i for i, layer in enumerate(LAYERS) if first in layer), None)


GRAPH = {name: set(imports_of(name, path, modules())) for name, path in modules().items()}


def test_every_module_has_a_layer() -> None:
    assert [name for name in GRAPH if name and layer_of(name) is None] == []


def test_no_module_imports_a_higher_layer() -> None:
    upward = [
        f"{name} -> {target}"
        for name, targets in GRAPH.items()
        for target in targets
        if name and target and (layer_of(target) or 0) > (layer_of(name) or 0)
    ]
    assert upward == []


def test_there_is_no_import_circle() -> None:
    # The package's own __init__ names its public functions lazily.
    graph = {name: targets - {""} for name, targets in GRAPH.items() if name}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' -> '.join(error.args[1])}")


def test_kernels_import_nothing_that_knows_the_method() -> None:
    for name, targets in GRAPH.items():
        if name.startswith("kernels."):
            assert {target.partition(".")[0] for target in targets} <= {"kernels", "errors", "settings"}


def test_benchmarks_import_nothing_from_the_tests() -> None:
    for path in (PACKAGE.parents[1] / "benchmarks").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in ("tests", "conftest"), path


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_do_not_import_pytorch(module: str) -> None:
    heavy = {"torch", "transformers", "huggingface_hub"}
    program = f"import sys, tagbox.{module}; sys.exit(not {heavy}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
