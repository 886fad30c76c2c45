"""Plug-ins: what entry points may name, and what becomes of broken ones."""

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

import tagbox
from tagbox.errors import TagBoxError
from tagbox.plugins import HubClass, Method, Model, Vocabulary, discovery
from tagbox.weights import catalogue

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Site:
    """A folder of installed packages, as pip leaves them."""

    folder: Path

    def install(self, name: str, module: str, **groups: str) -> None:
        """Install a package of one module, whose entry points are given by group: taggers="module:NAME"."""
        (self.folder / f"{name}.py").write_text(module)
        info = self.folder / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = [f"[tagbox.{group}]\nmain = {code}\n" for group, code in groups.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the packages installed."""
        path = os.pathsep.join([str(self.folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        environment = {**os.environ, "PYTHONPATH": path, "TAGBOX_HOME": str(self.folder / "home")}
        return subprocess.run(
            [sys.executable, *arguments], env=environment, text=True, capture_output=True, check=False
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_own_entry_points_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == discovery.OWN


def test_own_descriptions_are_found_by_their_entry_points() -> None:
    for group in discovery.OWN:
        offers = discovery.discover(group).offers.values()
        assert [offer.item for offer in offers if offer.origin.is_own]
    assert {*catalogue.TAGGERS, *catalogue.GENERATORS} <= {*catalogue.models()}


def test_broken_plugins_are_a_line_each_and_harm_nothing(site: Site) -> None:
    model = 'from tagbox.plugins import Model\nX = Model("tagger", {!r}, "mtat", "MIT", load="m:f")\n'
    site.install("broken-import", "raise ImportError('no\\nsuch thing')", taggers="broken-import:X")
    site.install("exits", "raise SystemExit(3)", separators="exits:X")
    site.install("missing", "", generators="missing:X")
    site.install("wrong", "X = 3", vocabularies="wrong:X")
    site.install("misplaced", model.format("fine"), generators="misplaced:X")
    site.install("badname", model.format("Not A Name"), taggers="badname:X")
    site.install("taken", model.format("fcn"), taggers="taken:X")
    site.install("good", model.format("good"), taggers="good:X")
    listed = site.run("-m", "tagbox", "models")
    assert listed.returncode == 0
    lines = listed.stderr.splitlines()
    for name in ("broken-import", "exits", "missing", "wrong", "misplaced", "badname", "taken"):
        assert len([line for line in lines if f"{name} 1.2" in line]) == 1, name
    assert len(lines) == 7 and f"tagbox {tagbox.__version__}" in next(
        line for line in lines if "taken" in line
    )
    row = next(line for line in listed.stdout.splitlines() if line.startswith("mtat/good"))
    assert "good 1.2" in row
    other = site.run("-m", "tagbox", "tags", "violin")
    assert other.returncode == 0 and other.stderr == "" and "violin" in other.stdout


def test_code_that_is_missing_is_told_when_it_is_used() -> None:
    for code in ("no_such_module:f", "json:no_such_function"):
        with pytest.raises(TagBoxError, match=r"mtat/good.*good 1\.2"):
            discovery.import_code(code, discovery.Origin("good", "1.2"), "mtat/good")


def test_nothing_is_imported_before_it_is_asked_for(site: Site) -> None:
    site.install("loud", "print('imported')\nX = ()", taggers="loud:X", vocabularies="loud:X")
    assert "imported" not in site.run("-m", "tagbox", "separate", "--help").stdout
    program = "import sys, tagbox.weights.catalogue as c; c.models(); sys.exit('torch' in sys.modules)"
    looked = site.run("-c", program)
    assert looked.returncode == 0 and "imported" in looked.stdout


def test_descriptions_are_checked() -> None:
    for wrong in (
        lambda: Model("tagger", "x", None, "MIT", load="m:f"),
        lambda: Model("generator", "x", "mtat", "MIT", load="m:f"),
        lambda: Model("generator", "x", None, "", load="m:f"),
        lambda: Model("generator", "x", None, "MIT", load="m.f"),
        lambda: Model("generator", "x/y", None, "MIT", load="m:f"),
        lambda: Model("generator", "x", None, "MIT"),
        lambda: HubClass("tagger", "a b", None, "m:f"),
        lambda: Method("x", "m"),
        lambda: Vocabulary("x", ()),
        lambda: Vocabulary("x", ("a", "a")),
        lambda: Vocabulary("x", ("a",), words={"b": ("c",)}),
        lambda: Vocabulary("x", ("a",), is_open=True),
    ):
        with pytest.raises(TagBoxError):
            wrong()
