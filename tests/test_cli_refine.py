"""Corrections on the command line, and results that are gone on from."""

import json
from pathlib import Path

import pytest

from cli_runner import run_tagbox
from tagbox import audio
from tagbox.cli.marks import read_corrections
from tagbox.corrections import Absent, Is, IsNot
from tagbox.errors import TagBoxError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
QUICK = ("--steer", "shares", "--quiet")


def test_spans_are_read() -> None:
    made = read_corrections(
        ["violin+cello:3-5.5"], ["a:b:1:02.5-1:04"], ["a:b", "a:b:0-1"], ("violin+cello", "a:b")
    )
    assert made == (
        Is("violin+cello", 3.0, 5.5),
        IsNot("a:b", 62.5, 64.0),
        Absent("a:b"),
        Absent("a:b", 0.0, 1.0),
    )


@pytest.mark.parametrize("text", ["violin", "violin:3", "violin:5-3", "cello:1-2", "violin:-1-2", ":1-2", ""])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(TagBoxError):
        read_corrections([text], None, None, ("violin",))


@pytest.mark.integration
def test_a_result_is_gone_on_from(tmp_path: Path) -> None:
    recording = audio.read(EXAMPLES / "duet/mixture.flac", 1.0, 1.5)
    audio.write(tmp_path / "duet.wav", recording.samples, recording.rate, bits="float")
    out = tmp_path / "out"
    violin, manifest = out / "duet/violin.wav", out / "duet/run.json"
    separate = ("separate", tmp_path / "duet.wav", "--tags", "violin", "-o", out, *QUICK)
    assert run_tagbox(*separate, "--plot", "--is", "violin:0.5-1")[0] == 0
    first, plot = violin.read_bytes(), (out / "duet/plot.png").read_bytes()
    assert json.loads(manifest.read_text())["corrections"] == [
        {"kind": "is", "source": "violin", "start": 0.5, "stop": 1.0, "strength": 1.0}
    ]

    assert run_tagbox("refine", out / "duet", "--absent", "violin:0-0.4", "--quiet")[0] == 0
    assert len(json.loads(manifest.read_text())["corrections"]) == 2
    assert (out / "duet/plot.png").read_bytes() != plot
    corrected = audio.read(violin).samples
    assert not corrected[:, : int(0.4 * 44100)].any() and corrected.any()
    rest = audio.read(out / "duet/residual.wav").samples
    assert float((corrected + rest - recording.samples).abs().max()) < 1e-6

    assert run_tagbox("refine", out / "duet", "--undo", "--quiet")[0] == 0
    assert violin.read_bytes() == first and (out / "duet/plot.png").read_bytes() == plot

    # Nothing changes where a request is wrong.
    (tmp_path / "elsewhere").mkdir()
    for wrong in (
        [],
        ["--undo", "--undo"],
        ["--is", "cello:0-1"],
        ["--is", "violin:3-4"],
        ["--undo", "--recording", EXAMPLES / "duet/mixture.flac"],
    ):
        assert run_tagbox("refine", out / "duet", *wrong)[0] == 2
        assert violin.read_bytes() == first
    assert run_tagbox("refine", tmp_path / "elsewhere", "--undo")[0] == 2
    # The same command without the correction is another one.
    assert run_tagbox(*separate)[0] == 2
    (tmp_path / "duet.wav").rename(tmp_path / "moved.wav")
    assert run_tagbox("refine", out / "duet", "--undo")[0] == 2
    assert (
        run_tagbox("refine", out / "duet", "--undo", "--recording", tmp_path / "moved.wav", "--quiet")[0] == 0
    )
    assert "corrections" not in json.loads(manifest.read_text())
