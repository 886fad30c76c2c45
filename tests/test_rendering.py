"""Scores, MIDI files and the rendered data set."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.robustness import soundfonts
from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets import registry
from tagbox.rendering import arranging, dataset, ensembles, fluidsynth, midi, tunes
from tagbox.rendering.dataset import DatasetOptions, RenderedTrack
from tagbox.rendering.general_midi import FAMILIES, PROGRAMS, family
from tagbox.rendering.scores import (
    Control,
    Note,
    Part,
    busiest_window,
    count_units,
    cut_window,
    read_notation,
)
from tagbox.temporary_files import PREFIX

needs_fluidsynth = pytest.mark.skipif(
    shutil.which("fluidsynth") is None,
    reason="fluidsynth is not installed (apt-get install fluidsynth)",
)

LOWEST_SHARE = 0.55
"""Of a melody's length that belongs to its chords; a chord at the wrong place costs more."""


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return soundfonts.write(tmp_path_factory.mktemp("soundfont") / "tone.sf2")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# Notes


def test_notation() -> None:
    assert read_notation("A4*2 -*1 C4+Bb3*3 F#5*1 kick+hat*2") == [
        (0, 2, 69), (3, 3, 60), (3, 3, 58), (6, 1, 78), (7, 2, 36), (7, 2, 42),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="H4"):
        read_notation("H4*1")


def test_general_midi_is_complete() -> None:
    assert len(PROGRAMS) == len(set(PROGRAMS)) == 8 * len(FAMILIES) == 128
    assert [family(number) for number in (0, 24, 33, 40, 52, 73, None)] == [
        "Piano", "Guitar", "Bass", "Strings", "Strings (continued)", "Pipe", "Drums",
    ]  # fmt: skip


@pytest.mark.parametrize("tune", tunes.TUNES, ids=lambda tune: tune.title)
def test_melodies_fit_their_chords(tune: tunes.Tune) -> None:
    length = count_units(tune.melody)
    chords = arranging.read_chords(tune.chords)
    assert length == sum(held for _, held, _ in chords)
    assert length % tune.bar == 0
    assert tune.bar % tune.beat == 0
    fits = total = 0
    for start, held, pitch in read_notation(tune.melody):
        for unit in range(start, start + held):
            tones = next(t for at, long, t in chords if at <= unit < at + long)
            fits += pitch % 12 in tones
            total += 1
    assert fits / total > LOWEST_SHARE


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 9600), st.integers(2, 4800), st.integers(21, 108), st.integers(1, 127)),
        min_size=1,
        max_size=30,
        unique_by=lambda note: note[2],
    ),
    st.sampled_from([0, 40, 127, None]),
)
def test_notes_survive_writing_and_reading_midi(
    tmp_path_factory: pytest.TempPathFactory, notes: list[tuple[int, int, int, int]], program: int | None
) -> None:
    pytest.importorskip("mido", reason="mido is not installed (extra eval)")
    played = tuple(sorted((Note(a / 960, b / 960, p, v) for a, b, p, v in notes), key=lambda n: n.start))
    part = Part(program, played, (Control(0.5, bytes((0xB0, 64, 127))),))
    path = tmp_path_factory.getbasetemp() / "kept.mid"
    path.write_bytes(midi.encode_midi([part]))
    (again,) = midi.read_midi_file(path).parts
    assert again.program == program
    assert [c.message for c in again.controls] == [bytes((0xB0, 64, 127))]
    key = lambda n: (n.pitch, n.velocity)  # noqa: E731
    for ours, theirs in zip(sorted(played, key=key), sorted(again.notes, key=key), strict=True):
        assert key(ours) == key(theirs)
        # A start is rounded down to a tick, a length is the difference of two such times.
        tick = 1 / midi.TICKS_PER_SECOND
        assert abs(ours.start - theirs.start) <= 1.05 * tick
        assert abs(ours.length - theirs.length) <= 2.1 * tick


def test_a_window_repeats_the_controls_in_force() -> None:
    notes = (Note(0.0, 9.0, 60, 90), Note(2.5, 9.0, 62, 90), Note(4.0, 0.5, 64, 90), Note(8.0, 1.0, 65, 90))
    volume, bend = bytes((0xB0, 7, 80)), bytes((0xE0, 0, 70))
    controls = (
        Control(0.0, bytes((0xB0, 7, 20))),
        Control(1.0, volume),
        Control(1.5, bend),
        Control(3.0, bend),
    )
    cut = cut_window(Part(0, notes, controls), 2.0, 3.0)
    assert cut.notes == (Note(0.5, 2.5, 62, 90), Note(2.0, 0.5, 64, 90))
    assert cut.controls == (Control(0.0, volume), Control(0.0, bend), Control(1.0, bend))


def test_the_busiest_window_has_most_parts() -> None:
    early = Part(0, tuple(Note(t / 4, 0.2, 60, 90) for t in range(40)))
    late = Part(40, tuple(Note(20 + t / 2, 0.2, 70, 90) for t in range(8)))
    longer = Part(0, (*early.notes, *(Note(20 + t, 0.2, 60, 90) for t in range(8))))
    assert busiest_window([early], 5.0, 4) == 0
    start = busiest_window([longer, late], 5.0, 4)
    assert all(len(cut_window(part, start, 5.0).notes) >= 4 for part in (longer, late))


# Arrangements


@pytest.mark.parametrize("seed", range(5))
def test_sixteen_tracks_hold_every_family(seed: int) -> None:
    sixteen = itertools.islice(ensembles.generate_ensembles(seed), 16)
    families = [[family(player.program) for player in players] for players in sixteen]
    assert set(itertools.chain(*families)) == {*FAMILIES, "Drums"}
    assert all(len(set(own)) == len(own) for own in families)
    assert sum(len(own) == 2 for own in families) == 4
    assert sum("Drums" in own for own in families) == 8


def test_a_seed_decides_the_arrangements() -> None:
    first = list(itertools.islice(arranging.arrangements(3, 8.0), 6))
    assert first == list(itertools.islice(arranging.arrangements(3, 8.0), 6))
    assert first != list(itertools.islice(arranging.arrangements(4, 8.0), 6))
    assert len({score.title for score in first}) == 6
    for part in itertools.chain(*(score.parts for score in first)):
        assert part.notes
        assert all(0 <= n.start < 8 and 0 < n.length <= 8 - n.start + 1e-9 for n in part.notes)
        assert all(21 <= n.pitch <= 108 and 1 <= n.velocity <= 127 for n in part.notes)


# FluidSynth and the data set


@needs_fluidsynth
def test_a_note_is_rendered_at_its_time_and_pitch(tone: Path) -> None:
    audio = fluidsynth.render(
        midi.encode_midi([Part(0, (Note(0.5, 0.5, 81, 100),))]), tone, 2.0, reverb=False
    )
    assert audio.shape == (2 * fluidsynth.RATE, 2)
    mono = audio.mean(axis=1)
    loud = np.abs(mono[24_000:34_000]).max()
    assert np.abs(mono[:20_000]).max() < 1e-3 * loud
    assert np.abs(mono[60_000:]).max() < 0.02 * loud
    frequency = np.abs(np.fft.rfft(mono[24_000:34_000])).argmax() * fluidsynth.RATE / 10_000
    assert frequency == pytest.approx(882, abs=5)


@pytest.fixture(scope="module")
def built(tone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("fluidsynth") is None:
        pytest.skip("fluidsynth is not installed (apt-get install fluidsynth)")
    folder = tmp_path_factory.mktemp("data") / "small"
    assert dataset.build_dataset(folder, DatasetOptions(2, 3.0, 1, tone)) == 2
    return folder


def test_the_same_seed_gives_the_same_bytes(built: Path, tone: Path, tmp_path: Path) -> None:
    dataset.build_dataset(tmp_path / "again", DatasetOptions(2, 3.0, 1, tone))
    assert everything(tmp_path / "again") == everything(built)
    dataset.build_dataset(tmp_path / "other", DatasetOptions(1, 3.0, 2, tone))
    mix = "Track00001/mix.flac"
    assert everything(tmp_path / "other")[mix] != everything(built)[mix]


def test_stems_add_up_to_the_mix_exactly(built: Path) -> None:
    for track in sorted(built.glob("Track*")):
        mix, rate = soundfile.read(track / "mix.flac", dtype="int16")
        stems = [soundfile.read(path, dtype="int16")[0] for path in sorted((track / "stems").iterdir())]
        assert (rate, mix.shape) == (44_100, (3 * 44_100,))
        np.testing.assert_array_equal(np.sum(stems, axis=0, dtype=np.int32), mix)
        assert np.abs(mix.astype(int)).max() <= 0.9 * 2**15
        assert all(np.abs(stem.astype(int)).max() > 100 for stem in stems)
        assert mix[-1] == 0


def test_evaluation_reads_the_data_set(built: Path) -> None:
    found = registry.find_dataset(built)
    assert (found.layout, len(found.tracks), found.skipped) == ("slakh", 2, ())
    score = arranging.arrangement(1, 3.0, 1)
    words = {"Piano": "piano", "Guitar": "guitar", "Bass": "bass", "Drums": "drums"}
    expected = {words[part.family] for part in score.parts if part.family in words}
    assert {"bass", "drums"} <= expected <= set(found.tracks[1].sources)
    drums = found.tracks[1].sources["drums"].read()
    assert float(drums.samples.abs().max()) > 0.01


def test_a_stopped_build_is_resumed(built: Path, tone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    shutil.copytree(built, folder)
    shutil.rmtree(folder / "Track00001")
    kept = (folder / "Track00002" / "mix.flac").stat().st_mtime_ns
    (folder / f"{PREFIX}abcdefgh").mkdir()
    (folder / f"{PREFIX}abcdefgh" / "mix.flac").write_bytes(b"half")
    made: list[RenderedTrack] = []
    dataset.build_dataset(folder, DatasetOptions(2, 3.0, 1, tone), made.append)
    assert [one.fresh for one in made] == [True, False]
    assert everything(folder) == everything(built)
    assert (folder / "Track00002" / "mix.flac").stat().st_mtime_ns == kept
    before = everything(folder)
    with pytest.raises(TagBoxError, match=r"made otherwise \(seed\)"):
        dataset.build_dataset(folder, DatasetOptions(2, 3.0, 5, tone))
    assert everything(folder) == before


def test_a_folder_with_other_files_is_refused(tone: Path, tmp_path: Path) -> None:
    if shutil.which("fluidsynth") is None:
        pytest.skip("fluidsynth is not installed (apt-get install fluidsynth)")
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(TagBoxError, match="new or empty"):
        dataset.build_dataset(tmp_path, DatasetOptions(1, 3.0, 0, tone))
    assert everything(tmp_path) == {"letter.txt": b"dear"}


@needs_fluidsynth
def test_midi_files_are_rendered(tone: Path, tmp_path: Path) -> None:
    pytest.importorskip("mido", reason="mido is not installed (extra eval)")
    songs = tmp_path / "songs"
    songs.mkdir()

    def line(program: int | None, start: float) -> Part:
        return Part(program, tuple(Note(start + i / 2, 0.4, 60 + i, 90) for i in range(8)))

    (songs / "good.mid").write_bytes(
        midi.encode_midi([line(0, 0.0), line(0, 10.0), line(40, 10.0), line(None, 10.0)])
    )
    (songs / "alone.mid").write_bytes(midi.encode_midi([line(0, 0.0)]))
    (songs / "broken.MID").write_bytes(b"MThd" + bytes(40))
    skipped: list[str] = []
    made: list[RenderedTrack] = []
    options = DatasetOptions(3, 4.0, 0, tone, songs)
    count = dataset.build_dataset(tmp_path / "out", options, made.append, skipped.append)
    assert count == 1
    assert sorted(made[0].classes) == ["Drums", "Piano", "Strings"]
    assert made[0].title == "good"
    assert len(skipped) == 2
    assert any("alone.mid" in line for line in skipped)
    assert any("broken.MID" in line for line in skipped)
    assert set(registry.find_dataset(tmp_path / "out").tracks[0].sources) == {"drums", "piano", "strings"}
    (songs / "good.mid").unlink()
    with pytest.raises(TagBoxError, match="give other MIDI files"):
        dataset.build_dataset(tmp_path / "none", options)


@needs_fluidsynth
def test_a_silent_soundfont_is_refused(tone: Path, tmp_path: Path) -> None:
    data = bytearray(tone.read_bytes())
    at = data.index(b"smpl") + 8
    data[at : at + 800] = bytes(800)
    silent = tmp_path / "silent.sf2"
    silent.write_bytes(data)
    with pytest.raises(TagBoxError, match=r"silent\.sf2 plays nothing"):
        dataset.build_dataset(tmp_path / "out", DatasetOptions(1, 3.0, 0, silent))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [dataset.OPTIONS_FILE]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"tracks": 0}, "0 tracks"), ({"seconds": 1.0}, "of 1 s"), ({"seed": -1}, "seed is -1")],
)
def test_options_out_of_range_are_refused(changes: dict[str, float], words: str, tmp_path: Path) -> None:
    request = DatasetOptions(**{"tracks": 1, "seconds": 3.0, "seed": 0, "soundfont": tmp_path, **changes})  # type: ignore[arg-type]
    with pytest.raises(TagBoxError, match=words):
        dataset.build_dataset(tmp_path / "out", request)
    assert not (tmp_path / "out").exists()


# The command


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tagbox", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )


def assert_refused(result: subprocess.CompletedProcess[str], words: str) -> None:
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_command_says_how_to_install_fluidsynth(tmp_path: Path) -> None:
    result = run("dataset", tmp_path / "out", PATH=str(tmp_path))
    assert_refused(result, "apt-get install fluidsynth musescore-general-soundfont-small")
    assert list(tmp_path.iterdir()) == []


@needs_fluidsynth
def test_the_command(tone: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("dataset", out, "--soundfont", tone, "--tracks", 1, "--seconds", 2)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(out)
    assert "1 of 1: " in result.stderr
    assert json.loads((out / dataset.OPTIONS_FILE).read_text())["soundfont"] == "tone.sf2"
    first = everything(out)
    again = run("dataset", out, "--soundfont", tone, "--tracks", 1, "--seconds", 2)
    assert again.returncode == 0, again.stderr
    assert "1 of 1: " in again.stderr
    assert everything(out) == first
    assert_refused(run("dataset", out, "--soundfont", out / dataset.OPTIONS_FILE), "is no soundfont")
    assert_refused(run("dataset", out, "--soundfont", tmp_path / "none.sf2"), "cannot be read")


def test_the_message_without_a_soundfont_says_how_to_install_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fluidsynth, "SOUNDFONTS", ())
    with pytest.raises(TagBoxError, match="apt-get install musescore-general-soundfont-small"):
        fluidsynth.find_soundfont()


def test_folders_without_midi_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TagBoxError, match="no MIDI file"):
        midi.list_midi_files(tmp_path)
    with pytest.raises(TagBoxError, match="no folder"):
        midi.list_midi_files(tmp_path / "none")


def test_every_part_has_a_channel_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("mido", reason="mido is not installed (extra eval)")
    parts = [Part(program, (Note(0.0, 1.0, 60, 90),)) for program in (*range(15), None)]
    (tmp_path / "all.mid").write_bytes(midi.encode_midi(parts))
    again = midi.read_midi_file(tmp_path / "all.mid").parts
    assert {part.program for part in again} == {*range(15), None}
    assert all(len(part.notes) == 1 for part in again)
