"""Plots of a separation have a panel for each track, and one for curves where there are any."""

import struct
from pathlib import Path

import pytest

import tagbox
from tagbox import audio, plots

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"


@pytest.fixture(scope="module", autouse=True)
def matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed; it is in the extra plot")


@pytest.fixture(scope="module")
def steered() -> tagbox.Separation:
    return separated(steps=2)


def separated(steps: int) -> tagbox.Separation:
    duet = audio.read(DUET, duration=1.0)
    few = {"components": 4, "factorisations": 1}
    return tagbox.separate(duet.samples, duet.rate, tags=["violin"], steps=steps, **few)


def height(picture: Path) -> int:
    """Read the height in pixels from a PNG's header."""
    return int(struct.unpack(">II", picture.read_bytes()[16:24])[1])


def test_curves_have_a_panel_where_a_run_has_several_steps(
    steered: tagbox.Separation, tmp_path: Path
) -> None:
    several = plots.save_separation(steered, tmp_path / "several.png")
    once = plots.save_separation(separated(steps=1), tmp_path / "once.png")
    # Recording, source and residual, and what one step leaves empty.
    assert height(once) * 4 == height(several) * 3


def test_segments_share_a_legend_entry(steered: tagbox.Separation) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    plots.draw_curves(axes, steered, [*steered.runs, *steered.runs])
    _, labels = axes.get_legend_handles_labels()
    assert labels == ["violin: rendered/listener"]
    assert len({line.get_color() for line in axes.get_lines()}) == 1
    assert len(axes.get_lines()) == 2
