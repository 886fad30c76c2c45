"""The notebook: it runs from top to bottom in a real kernel, and its choices are the package's."""

import base64
import dataclasses
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tagbox import presets
from tagbox.methods.objectives import OBJECTIVES
from tagbox.methods.registry import METHODS
from tagbox.presets import CHOICES, PRESETS, Settings
from tagbox.settings import DEVICES
from tagbox.tags.synonyms import TAG_GROUPS as WORDS
from tagbox.tags.vocabularies import TAGS
from tagbox.weights import catalogue

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "tagbox.ipynb"
UNCHANGED = "preset's"
FIELD = re.compile(r"^(?P<name>\w+) = (?P<value>.+?)  # @param (?P<about>[\[{].*)$", re.MULTILINE)
SECONDS = 3.0


def read_notebook() -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return notebook


def sources(kind: str = "code") -> list[str]:
    return ["".join(cell["source"]) for cell in read_notebook()["cells"] if cell["cell_type"] == kind]


def fields() -> dict[str, tuple[Any, list[Any]]]:
    """Return each control's value and its choices, if it has any."""
    found = {}
    for match in FIELD.finditer("\n".join(sources())):
        about = match["about"]
        choices = json.loads(about[: about.index("]") + 1]) if about.startswith("[") else []
        found[match["name"]] = (_literal(match["value"]), choices)
    return found


def _literal(text: str) -> Any:
    return {"True": True, "False": False}.get(text) if text in ("True", "False") else json.loads(text)


def filled_in(source: str, values: Mapping[str, Any]) -> str:
    """Return a cell with `values` in its controls."""
    return FIELD.sub(
        lambda m: f"{m['name']} = {values.get(m['name'], _literal(m['value']))!r}  # @param {m['about']}",
        source,
    )


Run = Callable[[Mapping[str, Any], Path], list[Any]]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Run the whole notebook with values in its controls and a folder for results; return the outputs.

    All runs share a kernel, as for somebody who changes the form and runs all cells again.
    """
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    manager = pytest.importorskip("jupyter_client", reason="jupyter_client is not installed").KernelManager()
    manager.start_kernel(cwd=str(NOTEBOOK.parent))

    def run_all(values: Mapping[str, Any], folder: Path) -> list[Any]:
        notebook = nbformat.reads(NOTEBOOK.read_text(encoding="utf-8"), as_version=4)
        given = {"duration": SECONDS, "folder": str(folder), **values}
        assert given.keys() <= fields().keys()
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.source = filled_in(cell.source, given)
        nbclient.NotebookClient(notebook, km=manager, timeout=240).execute()
        return [output for cell in notebook.cells for output in cell.get("outputs", [])]

    yield run_all
    manager.shutdown_kernel(now=True)


def players(outputs: list[Any]) -> list[float]:
    """Return the length of what each player plays, in seconds."""
    lengths = []
    for output in outputs:
        html = output.get("data", {}).get("text/html", "")
        for encoded in re.findall(r'src="data:audio/wav;base64,([^"]+)"', html):
            lengths.append(soundfile.info(io.BytesIO(base64.b64decode(encoded))).duration)
    return lengths


def printed(outputs: list[Any]) -> str:
    return "".join(output.get("text", "") for output in outputs)


def plots(outputs: list[Any]) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_it_runs_as_it_is(run: Run, tmp_path: Path) -> None:
    outputs = run({}, tmp_path)
    assert players(outputs) == pytest.approx([SECONDS] * 4, abs=0.01)
    assert plots(outputs) == 1
    assert "violin" in printed(outputs)
    manifest = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert manifest["preset"] == "default"
    assert manifest["settings"] == json.loads(json.dumps(dataclasses.asdict(PRESETS["default"].settings)))
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "violin.wav", "residual.wav"}


def test_style_transfer_with_other_settings(run: Run, tmp_path: Path) -> None:
    values = {"mode": "style transfer", "preset": "transfer", "manual_tags": "guitar", "steps": 2, "lr": 0.5}
    outputs = run({**values, "recording": "song", "pons_vgg": True, "level": "1"}, tmp_path)
    assert players(outputs) == pytest.approx([SECONDS] * 3, abs=0.01)
    assert plots(outputs) == 1
    manifest = json.loads((tmp_path / "transfer.run.json").read_text(encoding="utf-8"))
    assert manifest["runs"][0]["steps"] == 2
    assert manifest["settings"]["lr"] == 0.5 and manifest["settings"]["level"] == 1
    assert [tagger["name"] for tagger in manifest["taggers"]] == ["mtat/pons-vgg"]
    assert list(manifest["tags"]) == ["guitar"]


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Run the cell of settings without a kernel, and return its variables."""
    cell = next(source for source in sources() if source.startswith("# @title Settings"))
    names: dict[str, Any] = {"presets": presets, "mode": values.get("mode", "separate")}
    exec(filled_in(cell, values), names)
    return names


def test_the_unchanged_form_overrides_no_setting() -> None:
    assert settings_of({})["overrides"] == {}


def test_settings_of_the_published_notebook_can_be_chosen() -> None:
    ticked = {"fcn": True, "hcnn": True, "tagger_data": "jamendo"}
    values = {**ticked, "preset": "published-code", "fft": "512, 1024,2048", "lr": 5.0, "steps": 200}
    settings = settings_of({**values, "normalise": "no", "level": "0", "generator": "embedded"})["settings"]
    assert settings.taggers == ("jamendo/fcn", "jamendo/hcnn")
    assert (settings.fft, settings.lr, settings.steps) == ((512, 1024, 2048), 5.0, 200)
    assert (settings.normalise, settings.level, settings.generator) == (False, 0, "embedded")


def test_any_tagger_can_be_named_and_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = settings_of(
        {"preset": "steered", "pons_vgg": True, "other_taggers": "audioset/mn04, hf:me/ear@v1"}
    )
    assert names["settings"].taggers == ("mtat/pons-vgg", "audioset/mn04", "hf:me/ear@v1")
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path))
    names = settings_of({"preset": "steered", "other_taggers": "audioset/mn04"})
    cell = next(source for source in sources() if source.startswith("# @title Models"))
    with pytest.raises(SystemExit, match="audioset/mn04"):
        exec(filled_in(cell, {"fetch_models": False}), names)


def test_style_transfer_chooses_its_preset() -> None:
    assert settings_of({"mode": "style transfer"})["preset"] == "transfer"


def test_every_setting_has_a_control() -> None:
    controls = fields()
    for field in dataclasses.fields(Settings):
        assert field.name in controls or field.name == "taggers"
    listed = {model.name for model in catalogue.TAGGERS if model.data != "audioset"}
    taggers = listed - {"musicnn600"}
    assert {name.replace("-", "_") for name in taggers} <= controls.keys()
    assert {"start", "duration", "preset_tags", "manual_tags", "mode", "tagger_data"} <= controls.keys()


def test_choices_are_those_of_the_package() -> None:
    controls = fields()
    for name, choices in CHOICES.items():
        assert controls[name] == (UNCHANGED, [UNCHANGED, *choices])
    assert controls["steer"] == (UNCHANGED, [UNCHANGED, *METHODS])
    assert controls["objective"] == (UNCHANGED, [UNCHANGED, *OBJECTIVES])
    assert controls["preset"] == ("default", list(PRESETS))
    assert controls["preset_tags"][1] == [word.name for word in WORDS]
    assert controls["device"] == ("auto", list(DEVICES))
    published = [data for data in TAGS if data not in ("rendered", "audioset")]
    assert controls["tagger_data"][1] == published
    inside = [model.identifier for model in catalogue.models() if model.inside and model.kind == "tagger"]
    assert all(f'"{name}"' in "\n".join(sources()) for name in inside)


def test_it_is_committed_without_outputs() -> None:
    code = [cell for cell in read_notebook()["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_it_installs_itself_from_an_address_that_users_set() -> None:
    first = sources()[0]
    assert "REPOSITORY" in first and "pip" in first and "git" in first
    assert "Set this to the address" in first
