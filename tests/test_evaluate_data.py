"""Layouts of data sets, the choice of excerpts, and stems that other systems wrote."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets.registry import find_dataset
from tagbox.evaluation.datasets.stem_words import query_for_stem
from tagbox.evaluation.datasets.track import Track
from tagbox.evaluation.excerpts import active_seconds, choose_excerpt
from tagbox.evaluation.external_stems import ExternalStems, parse_external_stems
from tagbox.evaluation.reports import svg
from tagbox.evaluation.systems import SystemInput

RATE = 8000


def tone(frequency: float, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    return 0.2 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write(path: Path, values: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), values, rate)


def write_slakh_track(
    folder: Path, stems: dict[str, tuple[str, int, float]], without: tuple[str, ...] = ()
) -> None:
    """Write a track with `stems`: by number (class, program, frequency); those in `without` have no audio."""
    lines = ["UUID: x", "stems:"]
    for stem, (name, program, frequency) in stems.items():
        lines += [f"  {stem}:", f"    inst_class: {name}", f"    program_num: {program}"]
        if stem not in without:
            write(folder / "stems" / f"{stem}.flac", tone(frequency))
    write(folder / "mix.flac", np.sum([tone(f) for _, _, f in stems.values()], axis=0))
    (folder / "metadata.yaml").write_text("\n".join(lines) + "\n")


def test_slakh_sources_by_class_and_reports_missing_audio(tmp_path: Path) -> None:
    stems = {
        "S00": ("Guitar", 24, 200.0),
        "S01": ("Guitar", 30, 300.0),
        "S02": ("Ethnic", 105, 400.0),
        "S03": ("Strings (continued)", 52, 500.0),
        "S04": ("Piano", 0, 600.0),
        "S05": ("Piano", 0, 700.0),
    }
    write_slakh_track(tmp_path / "train" / "Track00001", stems, without=("S05",))
    write_slakh_track(
        tmp_path / "test" / "Track00002", {"S00": ("Drums", 0, 100.0), "S01": ("Bass", 33, 50.0)}
    )
    (tmp_path / "test" / "Track00003").mkdir()
    (tmp_path / "test" / "Track00003" / "metadata.yaml").write_text("stems: {}\n")
    write_slakh_track(tmp_path / "test" / "Track00004", {"S00": ("Drums", 0, 100.0)})
    (tmp_path / "test" / "Track00004" / "mix.flac").write_bytes(b"no flac")
    found = find_dataset(tmp_path)
    assert found.layout == "slakh"
    assert [(track.split, track.name) for track in found.tracks] == [
        ("test", "Track00002"),
        ("train", "Track00001"),
    ]
    last = found.tracks[1]
    # One of two pianos is missing, so what is there is not the mixture's piano.
    assert set(last.sources) == {"guitar", "vocals"}
    assert last.left_out == ("Ethnic: no tagger has a word for it",)
    skipped = "\n".join(found.skipped)
    assert "Track00001: stem S05 (Piano) has no audio" in skipped
    assert "Track00003: no mix" in skipped
    assert "Track00004" in skipped
    guitar = last.sources["guitar"].read(0.5, 1.0)
    assert guitar.samples.shape == (1, RATE)
    expected = (tone(200) + tone(300))[RATE // 2 : RATE // 2 + RATE]
    # Two stems, each rounded to 16 bits.
    np.testing.assert_allclose(guitar.samples[0].numpy(), expected, atol=2 / 32768)
    only = find_dataset(tmp_path, splits=["test"], sources=["bass"])
    assert [list(track.sources) for track in only.tracks] == [["bass"]]


def test_musdb_hq_and_plain_stems(tmp_path: Path) -> None:
    hq = tmp_path / "hq"
    for name in ("mixture", "drums", "bass", "other", "vocals"):
        write(hq / "test" / "A - B" / f"{name}.wav", tone(100))
    found = find_dataset(hq)
    assert (found.layout, found.tracks[0].split, found.tracks[0].name) == ("musdb", "test", "A - B")
    assert set(found.tracks[0].sources) == {"drums", "bass", "vocals"}
    assert found.tracks[0].left_out == ("other: no tagger has a word for it",)

    plain = tmp_path / "plain"
    for name in ("mixture", "violin", "kazoo"):
        write(plain / "duet" / f"{name}.flac", tone(100))
    write(plain / "broken" / "violin.flac", tone(100))
    (plain / "broken" / "mixture.wav").write_bytes(b"RIFF")
    found = find_dataset(plain)
    assert found.layout == "stems"
    assert [list(track.sources) for track in found.tracks] == [["violin"]]
    assert found.tracks[0].left_out == ("kazoo: no tagger has a word for it",)
    assert len(found.skipped) == 1 and found.skipped[0].startswith("broken: ")
    assert find_dataset(plain / "duet").tracks[0].name == "duet"


@pytest.mark.usefixtures("ffmpeg")
def test_musdb_stem_files_through_stempeg(tmp_path: Path) -> None:
    stempeg = pytest.importorskip("stempeg")
    example = Path(stempeg.example_stem_path())
    (tmp_path / "train").mkdir()
    shutil.copy(example, tmp_path / "train" / "The Easton Ellises - Falcon 69.stem.mp4")
    (tmp_path / "train" / "Broken.stem.mp4").write_bytes(b"nothing")
    found = find_dataset(tmp_path)
    (track,) = found.tracks
    assert (found.layout, track.split, track.name) == ("musdb", "train", "The Easton Ellises - Falcon 69")
    assert set(track.sources) == {"drums", "bass", "vocals"}
    assert (track.rate, round(track.seconds)) == (44100, 6)
    assert any(line.startswith("Broken.stem.mp4: ") for line in found.skipped)
    whole, _ = stempeg.read_stems(str(example), stem_id=4)
    vocals = track.sources["vocals"].read(1.0, 2.0)
    assert vocals.samples.shape == (2, 88200)
    wanted = whole[44100 : 3 * 44100].T
    # AAC begins a moment apart when it is decoded from the middle; what is heard is the same.
    assert np.corrcoef(vocals.samples.numpy().ravel(), wanted.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"layout": "spiral"}, "choose one of slakh, musdb, stems"),
        ({"splits": ["tset"]}, "has no split 'tset'; it has test"),
        ({"sources": ["tuba"]}, "no track of .* has a source 'tuba'"),
    ],
)
def test_unknown_layouts_splits_and_sources_are_refused(
    tmp_path: Path, arguments: dict[str, object], words: str
) -> None:
    for name in ("mixture", "violin"):
        write(tmp_path / "test" / "duet" / f"{name}.wav", tone(100))
    with pytest.raises(TagBoxError, match=words):
        find_dataset(tmp_path, **arguments)  # type: ignore[arg-type]


def test_folders_without_a_data_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TagBoxError, match="there is no folder"):
        find_dataset(tmp_path / "nowhere")
    with pytest.raises(TagBoxError, match="laid out like no data set"):
        find_dataset(tmp_path)
    write(tmp_path / "duet" / "mixture.wav", tone(100))
    with pytest.raises(TagBoxError, match="no stem that a tagger has a word for"):
        find_dataset(tmp_path)


def test_queries_for_stems() -> None:
    assert query_for_stem("Strings (continued)", 50) == "strings"
    assert query_for_stem("Strings (continued)", 53) == "vocals"
    assert query_for_stem("Pipe") == "flute"
    assert query_for_stem("Reed") == "reed"
    assert query_for_stem("Ethnic") is None
    assert query_for_stem("female_vocals") == "female vocals"
    assert query_for_stem("kazoo") is None


def track_with(folder: Path, violin: np.ndarray, seconds: float) -> Track:
    write(folder / "mixture.wav", tone(50, seconds))
    write(folder / "violin.wav", violin)
    return find_dataset(folder).tracks[0]


def test_excerpts_are_chosen_where_the_source_plays(tmp_path: Path) -> None:
    """The source plays in seconds 40 to 50 of 70: with any seed, an excerpt of 8 s lies inside."""
    violin = np.zeros(70 * RATE)
    violin[40 * RATE : 50 * RATE] = tone(300, 10)
    track = track_with(tmp_path / "t", violin, 70)
    assert active_seconds(track.sources["violin"], 70).nonzero()[0].tolist() == list(range(40, 50))
    chosen = [choose_excerpt(track, ["violin"], 8, seed) for seed in range(12)]
    assert all(40 <= one.start <= 42 and one.active_share == 1 for one in chosen)
    assert len({one.start for one in chosen}) > 1
    assert choose_excerpt(track, ["violin"], 8, 3) == chosen[3]
    whole = choose_excerpt(track, ["violin"], None, 0)
    assert (whole.start, whole.duration) == (0, 70)
    assert whole.active_share == pytest.approx(1 / 7)


def test_quiet_seconds_are_not_active(tmp_path: Path) -> None:
    """A second 40 dB below the loudest is not active, one 20 dB below is; -70 dB of full scale never is."""
    violin = np.concatenate([tone(300, 1), tone(300, 1) * 0.01, tone(300, 1) * 0.1])
    track = track_with(tmp_path / "a", violin, 3)
    assert active_seconds(track.sources["violin"], 3).tolist() == [True, False, True]
    quiet = track_with(tmp_path / "b", tone(300, 3) * 5e-4, 3)
    assert not active_seconds(quiet.sources["violin"], 3).any()


def test_a_stem_may_end_before_the_mixture(tmp_path: Path) -> None:
    """The stem ends exactly at the end of a block that is decoded at once."""
    track = track_with(tmp_path / "t", tone(300, 30), 45)
    plays = active_seconds(track.sources["violin"], 45)
    assert plays.tolist() == [True] * 30 + [False] * 15
    assert track.sources["violin"].read(40.0, 2.0).samples.shape == (1, 0)


def excerpt_of(name: str, seconds: float = 2.0, split: str = "") -> SystemInput:
    mixture = torch.zeros(2, round(seconds * RATE))
    return SystemInput(name, split, mixture, RATE, {"vocals": mixture, "drums": mixture}, 1.0, 0)


def test_external_stems_in_the_layouts_of_other_systems(tmp_path: Path) -> None:
    write(tmp_path / "demucs" / "htdemucs" / "Song" / "vocals.wav", tone(440, 4, 16000), 16000)
    write(tmp_path / "spleeter" / "Song" / "vocals.wav", tone(440, 4))
    write(tmp_path / "museval" / "test" / "Song" / "vocals.wav", tone(440, 4))
    for name, split in (("demucs", ""), ("spleeter", ""), ("museval", "test")):
        output = ExternalStems(name, tmp_path / name).separate(excerpt_of("Song", split=split))
        estimate = output.estimates["vocals"]
        assert estimate.shape == (2, 2 * RATE)
        expected = tone(440, 4)[RATE : 3 * RATE]
        # Files have 16 bits. A cut tone cannot be resampled at its edges.
        np.testing.assert_allclose(estimate[0, 800:-800].numpy(), expected[800:-800], atol=1 / 32768)
        assert output.missing == {"drums": "no estimate of drums for Song"}
    with pytest.raises(TagBoxError, match="ends before the excerpt"):
        write(tmp_path / "short" / "Song" / "vocals.wav", tone(440, 0.5))
        ExternalStems("short", tmp_path / "short").separate(excerpt_of("Song"))


@pytest.mark.parametrize("text", ["demucs", "=folder", "demucs=", "demucs=nowhere/at/all"])
def test_external_stems_are_a_name_and_a_folder(text: str) -> None:
    with pytest.raises(TagBoxError, match=r"NAME=FOLDER|there is no folder"):
        parse_external_stems(text)


def test_ticks_are_round_and_inside() -> None:
    assert svg.ticks(-7, 12, 5) == [-5, 0, 5, 10]
    assert svg.ticks(0, 1, 4) == [0, 0.5, 1]
    assert svg.ticks(0.013, 0.019, 3) == [0.014, 0.016, 0.018]
