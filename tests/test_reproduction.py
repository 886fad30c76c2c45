"""The reproduced tables: every cell has a result or a reason, and runs are resumable."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from tagbox import audio, cli
from tagbox.errors import TagBoxError
from tagbox.evaluation import metrics, result_store
from tagbox.evaluation.reproduction import report, run
from tagbox.evaluation.reproduction.published_tables import TABLES
from tagbox.evaluation.reproduction.run import Cell, CellResult, Reproduction, ReproductionOptions
from tagbox.generators import pretrained
from tagbox.generators.training.train import new_model
from tagbox.generators.vqvae import VQVAEConfig
from tagbox.weights import catalogue, store

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SECONDS = 2.0


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TAGBOX_HOME without weights."""
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path / "home"))
    return tmp_path


def write_slakh(folder: Path) -> Path:
    """Write an excerpt of the example duet in Slakh's layout, its violin as a class that no table has."""
    track = folder / "slakh" / "Track00001"
    (track / "stems").mkdir(parents=True)
    stems = {}
    total = 0.0
    for number, (name, group) in enumerate((("piano", "Piano"), ("violin", "Reed"))):
        samples, rate = soundfile.read(EXAMPLES / "duet" / f"{name}.flac")
        samples = samples[3 * rate : 7 * rate]
        total = total + samples
        soundfile.write(track / "stems" / f"S{number:02d}.flac", samples, rate)
        stems[f"S{number:02d}"] = {"inst_class": group, "is_drum": False, "program_num": 40 * number}
    soundfile.write(track / "mix.flac", total, rate)
    (track / "metadata.yaml").write_text(yaml.safe_dump({"stems": stems}))
    return track.parent


def write_generator(folder: Path) -> Path:
    path = folder / "tiny.safetensors"
    pretrained.save_generator_file(
        new_model(VQVAEConfig((4,), (1,), (1,), entries=8), seed=0), path, "ours", {}
    )
    return path


def find_cell(found: Reproduction, table: int, source: str, system: str) -> Cell:
    return next(c for c in found.cells if (c.table, c.source, c.system.name) == (table, source, system))


def test_published_figures_are_complete() -> None:
    assert [table.sources for table in TABLES] == [
        ("vocals", "bass", "drums"), ("bass", "drums", "guitar", "piano", "strings"),
    ]  # fmt: skip
    figures = [[f for row in table.figures.values() for f in row] for table in TABLES]
    assert [len(all_of) for all_of in figures] == [9 * 3, 8 * 5]
    assert [sum(f is not None for f in all_of) for all_of in figures] == [20, 28]
    # Sums, so that a slip in copying shows.
    assert [round(sum(f for f in all_of if f is not None), 1) for all_of in figures] == [168.2, 259.3]


def test_without_data_and_weights_every_cell_has_a_reason(empty_home: Path) -> None:
    found = run.reproduce(ReproductionOptions({}), empty_home / "out")
    paper = {(t.number, s, system.name) for t in TABLES for system in t.figures for s in t.sources}
    listed = [(c.table, c.source, c.system.name) for c in found.cells if c.system.name != "silence"]
    assert len(listed) == len(set(listed))
    assert set(listed) == paper
    for one in found.cells:
        if one.published is None and one.system.name != "silence":
            assert one.results == {}
            continue
        runs = {"tagbox": {"paper", "published-code"}}.get(one.system.kind, {"as it is"})
        assert set(one.results) == runs
        assert all(o.sdri is None and "no data given" in o.why for o in one.results.values())
    hcnn = find_cell(found, 1, "vocals", "TagBox, MTAT HCNN").results["paper"].why
    assert "--musdb FOLDER" in hcnn
    assert "tagbox models pull mtat/hcnn" in hcnn
    assert "tagbox models pull jukebox --accept-license" in hcnn
    assert "--estimates" in find_cell(found, 2, "drums", "Demucs").results["as it is"].why
    text = report.render_markdown(found)
    for table in TABLES:
        for system, row in table.figures.items():
            for source, figure in zip(table.sources, row, strict=True):
                shown = "–" if figure is None else f"{figure:.1f}"
                assert f"| {source} | {system.name} | {shown} |" in text
    assert "arXiv:2110.13071" in text
    rows = list(csv.DictReader(report.render_csv(found).splitlines()))
    assert sum(row["published_sdri"] != "" and row["run"] in ("as it is", "paper") for row in rows) == 48
    assert not (empty_home / "out").exists()


def test_what_can_be_run_is_run_and_the_rest_has_a_reason(empty_home: Path, shared: Path) -> None:
    for data in ("mtat", "jamendo"):
        store.import_file(catalogue.model_by_identifier(f"{data}/fcn"), shared / "weights" / data / "fcn.pth")
    folders, generator = {"Slakh2100": write_slakh(empty_home)}, str(write_generator(empty_home))
    options = ReproductionOptions(folders, generator, steps=1, seconds=SECONDS)
    told: list[str] = []
    out = empty_home / "out"
    found = run.reproduce(options, out, lambda what, done, total: told.append(what))
    for system in ("TagBox, MTAT FCN", "TagBox, Jamendo FCN"):
        for preset in ("paper", "published-code"):
            result = find_cell(found, 2, "piano", system).results[preset]
            assert result.sdri is not None, result.why
            assert result.si_sdri is not None
            assert result.sdri.cases == 1
            assert np.isfinite([result.sdri.mean, result.si_sdri.mean]).all()
        assert "no track of the data has drums" in find_cell(found, 2, "drums", system).results["paper"].why
    assert "pull mtat/hcnn" in find_cell(found, 2, "piano", "TagBox, MTAT HCNN").results["paper"].why
    assert "no data given" in find_cell(found, 1, "vocals", "TagBox, MTAT FCN").results["paper"].why

    # Silence improves SDR by minus the mixture's.
    silence = find_cell(found, 2, "piano", "silence").results["as it is"]
    (start,) = {
        r["start"] for r in result_store.read_records(out / "slakh" / "controls") if r["source"] == "piano"
    }
    mixture, piano = (
        audio.read(empty_home / "slakh" / "Track00001" / name, start, SECONDS).samples
        for name in ("mix.flac", "stems/S00.flac")
    )
    assert silence.sdri is not None
    assert silence.sdri.mean == pytest.approx(-metrics.sdr(mixture, piano), abs=1e-3)

    assert "slakh, paper-mtat-fcn" in told
    text = report.render_markdown(found)
    assert "the generator is tiny.safetensors, the paper's is Jukebox" in text
    assert "steps of the loop: 1, the paper's 100" in text
    assert "Table 2: paper mtat/fcn" in text

    told.clear()
    again = run.reproduce(options, out, lambda what, done, total: told.append(what))
    assert told == []
    assert again == found
    other = ReproductionOptions(
        {"Slakh2100": empty_home / "slakh"}, options.generator, steps=2, seconds=SECONDS
    )
    with pytest.raises(TagBoxError, match="another run"):
        run.reproduce(other, out)


def test_a_cell_without_estimates_has_no_figure() -> None:
    assert run.cell_result("bass", "m", [], "").why == "no track of the data has bass"
    record = {
        "key": "a/bass/m", "track": "a", "split": "", "source": "bass", "method": "m", "kind": "preset",
        "status": "missing", "why": "it broke",
    }  # fmt: skip
    assert run.cell_result("bass", "m", [record], "") == CellResult(missing=1, why="it broke")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limit": 0}, "--limit 1 or more"),
        ({"seconds": 0.5}, "of 0.5 s"),
        ({"steps": 0}, "steps is 0"),
        ({"generator": "jukebx"}, "no generator is called 'jukebx'"),
        ({"folders": {"MUSDB18": Path("nowhere")}}, "there is no folder nowhere"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, object], words: str, empty_home: Path) -> None:
    with pytest.raises(TagBoxError, match=words):
        run.reproduce(ReproductionOptions(**{"folders": {}, **changes}), empty_home / "out")  # type: ignore[arg-type]
    assert not (empty_home / "out").exists()


def test_the_command(
    empty_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = empty_home / "out"
    monkeypatch.setattr(sys, "argv", ["tagbox", "reproduce", "-o", str(out)])
    with pytest.raises(SystemExit) as finished:
        cli.main()
    assert finished.value.code == 0
    printed = capsys.readouterr().out
    assert "Table 1: MUSDB18" in printed
    assert "TagBox, Jamendo HCNN" in printed
    assert "tagbox models pull jamendo/hcnn" in printed
    assert {path.name for path in out.iterdir()} == {"reproduction.md", "reproduction.csv"}
    with pytest.raises(SystemExit) as refused:
        cli.main()
    assert refused.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "--resume" in line
