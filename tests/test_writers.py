"""Results are written block by block; files appear whole, with a manifest, or not at all."""

import json
from pathlib import Path

import pytest
import torch

from tagbox import audio
from tagbox.audio.writers import TensorWriter, open_stem_writer
from tagbox.errors import OutputExistsError, UnwritableOutputError

RATE = 8000


def tracks(peak: float) -> torch.Tensor:
    """Two stereo tracks, (tracks, channels, samples), of which the first has this peak."""
    noise = torch.rand(2, 2, 1000, generator=torch.Generator().manual_seed(0)) - 0.5
    noise[0] *= peak / noise[0].abs().max()
    return noise


def write(folder: Path, format: str, bits: str | None, peak: float = 0.5, force: bool = False) -> str | None:
    """Write `tracks` in two blocks; return the note."""
    with open_stem_writer(folder, ["violin"], RATE, 2, 1000, format, bits, force) as writer:
        for block in tracks(peak).split(600, dim=-1):
            writer.add(block)
        paths, note = writer.finish({"tags": ["violin"]})
    assert [path.stem for path in paths] == ["violin", "residual"]
    return note


@pytest.mark.parametrize(
    ("format", "bits", "step"), [("wav", None, 0.0), ("flac", None, 2.0**-23), ("wav", "16", 2.0**-15)]
)
def test_blocks_become_one_file_a_track(tmp_path: Path, format: str, bits: str | None, step: float) -> None:
    assert write(tmp_path / "new" / "out", format, bits) is None
    out = tmp_path / "new" / "out"
    assert {path.name for path in out.iterdir()} == {f"violin.{format}", f"residual.{format}", "run.json"}
    names = [f"violin.{format}", f"residual.{format}"]
    assert json.loads((out / "run.json").read_text()) == {"tags": ["violin"], "files": names}
    for name, expected in zip(("violin", "residual"), tracks(0.5), strict=True):
        written = audio.read(out / f"{name}.{format}")
        assert written.rate == RATE
        # Integers are rounded to the nearest.
        assert float((written.samples - expected).abs().max()) <= step / 2


def test_where_integers_would_clip_all_tracks_become_float_wav(tmp_path: Path) -> None:
    note = write(tmp_path, "flac", "16", peak=1.5)
    assert note is not None and "clip" in note
    assert {path.name for path in tmp_path.iterdir()} == {"violin.wav", "residual.wav", "run.json"}
    assert torch.equal(audio.read(tmp_path / "violin.wav").samples, tracks(1.5)[0])


def test_without_finish_no_file_and_no_new_folder_stays(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        open_stem_writer(tmp_path / "a" / "b", ["violin"], RATE, 2, 1000, "wav", None, False) as writer,
    ):
        writer.add(tracks(0.5))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_files_are_replaced_only_with_force(tmp_path: Path) -> None:
    write(tmp_path, "wav", None)
    with pytest.raises(OutputExistsError):
        write(tmp_path, "wav", None, peak=0.25)
    assert torch.equal(audio.read(tmp_path / "violin.wav").samples, tracks(0.5)[0])
    write(tmp_path, "wav", None, peak=0.25, force=True)
    assert torch.equal(audio.read(tmp_path / "violin.wav").samples, tracks(0.25)[0])


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableOutputError):
        write(tmp_path / "file", "wav", None)


def test_blocks_are_joined_in_memory() -> None:
    writer = TensorWriter(2, 2, 1000)
    for block in tracks(0.5).split(300, dim=-1):
        writer.add(block)
    assert torch.equal(writer.values, tracks(0.5))
