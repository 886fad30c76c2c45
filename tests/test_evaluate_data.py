"""Data sets as they lie on disk, and which part of them is judged."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tagbox.errors import TagBoxError
from tagbox.evaluation import excerpts
from tagbox.evaluation.datasets import registry
from tagbox.evaluation.datasets.stem_words import word_for
from tagbox.evaluation.external_stems import ExternalStems, parse
from tagbox.evaluation.reports import svg
from tagbox.evaluation.systems import Task

RATE = 8000


def tone(frequency: float, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    return 0.2 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write(path: Path, values: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), values, rate)


def slakh_track(
    folder: Path, stems: dict[str, tuple[str, int, float]], without: tuple[str, ...] = ()
) -> None:
    """`stems`: by number, (class, program, frequency); those in `without` have no audio."""
    lines = ["UUID: x", "stems:"]
    for stem, (name, program, frequency) in stems.items():
        lines += [f"  {stem}:", f"    inst_class: {name}", f"    program_num: {program}"]
        if stem not in without:
            write(folder / "stems" / f"{stem}.flac", tone(frequency))
    write(folder / "mix.flac", np.sum([tone(f) for _, _, f in stems.values()], axis=0))
    (folder / "metadata.yaml").write_text("\n".join(lines) + "\n")


def test_slakh_by_class_with_missing_audio_said(tmp_path: Path) -> None:
    stems = {
        "S00": ("Guitar", 24, 200.0),
        "S01": ("Guitar", 30, 300.0),
        "S02": ("Ethnic", 105, 400.0),
        "S03": ("Strings (continued)", 52, 500.0),
        "S04": ("Piano", 0, 600.0),
        "S05": ("Piano", 0, 700.0),
    }
    slakh_track(tmp_path / "train" / "Track00001", stems, without=("S05",))
    slakh_track(tmp_path / "test" / "Track00002", {"S00": ("Drums", 0, 100.0), "S01": ("Bass", 33, 50.0)})
    (tmp_path / "test" / "Track00003").mkdir()
    (tmp_path / "test" / "Track00003" / "metadata.yaml").write_text("stems: {}\n")
    slakh_track(tmp_path / "test" / "Track00004", {"S00": ("Drums", 0, 100.0)})
    (tmp_path / "test" / "Track00004" / "mix.flac").write_bytes(b"no flac")
    found = registry.find(tmp_path)
    assert found.layout == "slakh"
    assert [(track.split, track.name) for track in found.tracks] == [
        ("test", "Track00002"),
        ("train", "Track00001"),
    ]
    last = found.tracks[1]
    # One of two pianos is missing, so what is there is not the mixture's piano.
    assert set(last.sources) == {"guitar", "vocals"}
    assert last.left_out == ("Ethnic: no tagger has a word for it",)
    said = "\n".join(found.skipped)
    assert "Track00001: stem S05 (Piano) has no audio" in said
    assert "Track00003: no mix" in said
    assert "Track00004" in said
    guitar = last.sources["guitar"].read(0.5, 1.0)
    assert guitar.samples.shape == (1, RATE)
    expected = (tone(200) + tone(300))[RATE // 2 : RATE // 2 + RATE]
    np.testing.assert_allclose(guitar.samples[0].numpy(), expected, atol=2 / 32768)
    only = registry.find(tmp_path, splits=["test"], sources=["bass"])
    assert [list(track.sources) for track in only.tracks] == [["bass"]]


def test_musdb_hq_and_plain_stems(tmp_path: Path) -> None:
    hq = tmp_path / "hq"
    for name in ("mixture", "drums", "bass", "other", "vocals"):
        write(hq / "test" / "A - B" / f"{name}.wav", tone(100))
    found = registry.find(hq)
    assert (found.layout, found.tracks[0].split, found.tracks[0].name) == ("musdb", "test", "A - B")
    assert set(found.tracks[0].sources) == {"drums", "bass", "vocals"}
    assert found.tracks[0].left_out == ("other: no tagger has a word for it",)

    plain = tmp_path / "plain"
    for name in ("mixture", "violin", "kazoo"):
        write(plain / "duet" / f"{name}.flac", tone(100))
    write(plain / "broken" / "violin.flac", tone(100))
    (plain / "broken" / "mixture.wav").write_bytes(b"RIFF")
    found = registry.find(plain)
    assert found.layout == "stems"
    assert [list(track.sources) for track in found.tracks] == [["violin"]]
    assert found.tracks[0].left_out == ("kazoo: no tagger has a word for it",)
    assert len(found.skipped) == 1 and found.skipped[0].startswith("broken: ")
    assert registry.find(plain / "duet").tracks[0].name == "duet"


@pytest.mark.usefixtures("ffmpeg")
def test_musdb_stem_files_through_stempeg(tmp_path: Path) -> None:
    stempeg = pytest.importorskip("stempeg")
    example = Path(stempeg.example_stem_path())
    (tmp_path / "train").mkdir()
    shutil.copy(example, tmp_path / "train" / "The Easton Ellises - Falcon 69.stem.mp4")
    (tmp_path / "train" / "Broken.stem.mp4").write_bytes(b"nothing")
    found = registry.find(tmp_path)
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
def test_what_is_not_there_is_said(tmp_path: Path, arguments: dict[str, object], words: str) -> None:
    for name in ("mixture", "violin"):
        write(tmp_path / "test" / "duet" / f"{name}.wav", tone(100))
    with pytest.raises(TagBoxError, match=words):
        registry.find(tmp_path, **arguments)  # type: ignore[arg-type]


def test_folders_that_are_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(TagBoxError, match="there is no folder"):
        registry.find(tmp_path / "nowhere")
    with pytest.raises(TagBoxError, match="laid out like no data set"):
        registry.find(tmp_path)
    write(tmp_path / "duet" / "mixture.wav", tone(100))
    with pytest.raises(TagBoxError, match="no stem that a tagger has a word for"):
        registry.find(tmp_path)


def test_classes_and_their_words() -> None:
    assert word_for("Strings (continued)", 50) == "strings"
    assert word_for("Strings (continued)", 53) == "vocals"
    assert word_for("Pipe") == "flute"
    assert word_for("Reed") == "reed"
    assert word_for("Ethnic") is None
    assert word_for("female_vocals") == "female vocals"
    assert word_for("kazoo") is None


def track_with(folder: Path, violin: np.ndarray, seconds: float) -> registry.Track:
    write(folder / "mixture.wav", tone(50, seconds))
    write(folder / "violin.wav", violin)
    return registry.find(folder).tracks[0]


def test_excerpts_lie_where_the_source_plays(tmp_path: Path) -> None:
    """Silence but for seconds 40 to 50 of 70: whatever the seed, 8 s lie inside."""
    violin = np.zeros(70 * RATE)
    violin[40 * RATE : 50 * RATE] = tone(300, 10)
    track = track_with(tmp_path / "t", violin, 70)
    assert excerpts.playing_seconds(track.sources["violin"], 70).nonzero()[0].tolist() == list(range(40, 50))
    chosen = [excerpts.choose(track, ["violin"], 8, seed) for seed in range(12)]
    assert all(40 <= one.start <= 42 and one.plays == 1 for one in chosen)
    assert len({one.start for one in chosen}) > 1
    assert excerpts.choose(track, ["violin"], 8, 3) == chosen[3]
    whole = excerpts.choose(track, ["violin"], None, 0)
    assert (whole.start, whole.duration) == (0, 70)
    assert whole.plays == pytest.approx(1 / 7)


def test_the_floor_of_playing(tmp_path: Path) -> None:
    """A second 40 dB below the loudest does not play, one 20 dB below does; -70 dB of full scale never."""
    violin = np.concatenate([tone(300, 1), tone(300, 1) * 0.01, tone(300, 1) * 0.1])
    track = track_with(tmp_path / "a", violin, 3)
    assert excerpts.playing_seconds(track.sources["violin"], 3).tolist() == [True, False, True]
    quiet = track_with(tmp_path / "b", tone(300, 3) * 5e-4, 3)
    assert not excerpts.playing_seconds(quiet.sources["violin"], 3).any()


def test_a_stem_may_end_before_the_mixture(tmp_path: Path) -> None:
    """Exactly at the end of a block that is read at once, too."""
    track = track_with(tmp_path / "t", tone(300, 30), 45)
    plays = excerpts.playing_seconds(track.sources["violin"], 45)
    assert plays.tolist() == [True] * 30 + [False] * 15
    assert track.sources["violin"].read(40.0, 2.0).samples.shape == (1, 0)


def task(name: str, seconds: float = 2.0, split: str = "") -> Task:
    import torch

    mixture = torch.zeros(2, round(seconds * RATE))
    return Task(name, split, mixture, RATE, {"vocals": mixture, "drums": mixture}, 1.0, 0)


def test_estimates_in_the_layouts_of_others(tmp_path: Path) -> None:
    write(tmp_path / "demucs" / "htdemucs" / "Song" / "vocals.wav", tone(440, 4, 16000), 16000)
    write(tmp_path / "spleeter" / "Song" / "vocals.wav", tone(440, 4))
    write(tmp_path / "museval" / "test" / "Song" / "vocals.wav", tone(440, 4))
    for name, split in (("demucs", ""), ("spleeter", ""), ("museval", "test")):
        answer = ExternalStems(name, tmp_path / name).answer(task("Song", split=split))
        estimate = answer.estimates["vocals"]
        assert estimate.shape == (2, 2 * RATE)
        expected = tone(440, 4)[RATE : 3 * RATE]
        np.testing.assert_allclose(estimate[0, 800:-800].numpy(), expected[800:-800], atol=2e-3)
        assert answer.missing == {"drums": "no estimate of drums for Song"}
    with pytest.raises(TagBoxError, match="ends before the excerpt"):
        write(tmp_path / "short" / "Song" / "vocals.wav", tone(440, 0.5))
        ExternalStems("short", tmp_path / "short").answer(task("Song"))


@pytest.mark.parametrize("text", ["demucs", "=folder", "demucs=", "demucs=nowhere/at/all"])
def test_estimates_are_a_name_and_a_folder(text: str) -> None:
    with pytest.raises(TagBoxError, match=r"NAME=FOLDER|there is no folder"):
        parse(text)


def test_ticks_are_round_and_inside() -> None:
    assert svg.ticks(-7, 12, 5) == [-5, 0, 5, 10]
    assert svg.ticks(0, 1, 4) == [0, 0.5, 1]
    assert svg.ticks(0.013, 0.019, 3) == [0.014, 0.016, 0.018]
