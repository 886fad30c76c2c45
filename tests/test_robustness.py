"""Whatever files and machines do: one line, nothing half-written, nothing left (a part of the benchmark)."""

import errno
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
import torch

from benchmarks.robustness import full_disk
from benchmarks.robustness.child import read_damaged
from benchmarks.robustness.failing_calls import preloaded
from benchmarks.robustness.seeds import Target, make_targets
from cli_runner import run_tagbox
from tagbox.atomic_files import failed_write, move_together, write_atomically, write_json, written_together
from tagbox.audio import files, mpeg
from tagbox.audio.decoders import FfmpegDecoder
from tagbox.audio.quiet_libraries import decoders_silenced
from tagbox.audio.readers import FileReader
from tagbox.errors import FailedWriteError, MachineError, OutOfMemoryError, TagBoxError, UnwritableOutputError
from tagbox.evaluation import result_store
from tagbox.evaluation.summary import summarise
from tagbox.memory import explain_out_of_memory
from tagbox.rendering import midi
from tagbox.rendering.scores import Note, Part, busiest_window
from tagbox.temporary_files import PREFIX, remove_abandoned, temporary_file, temporary_folder

ROOT = Path(__file__).resolve().parents[1]
DAMAGED_PER_FORMAT = 4
MIN_WEIGHT = 1.0
"""Formats that take a process each are left to the benchmark."""


@cache
def targets() -> list[Target]:
    return [target for target in make_targets() if target.weight >= MIN_WEIGHT]


@pytest.mark.integration
def test_damaged_inputs_are_read_or_refused_in_a_line(tmp_path: Path) -> None:
    assert len(targets()) >= 15
    for target in targets():
        for index in range(DAMAGED_PER_FORMAT):
            result = read_damaged(target, 1, index, tmp_path)
            assert result["outcome"] != "fault", (target.name, index, result["why"])


def test_undamaged_inputs_are_read(tmp_path: Path) -> None:
    for target in targets():
        path = tmp_path / f"whole.{target.ending}"
        path.write_bytes(target.data)
        assert target.read(path) or target.name == "run.json"


def changed(data: bytes, position: int, inserted: bytes = b"") -> bytes:
    """Invert 20 bytes, or insert some instead."""
    if inserted:
        return data[:position] + inserted + data[position:]
    return (
        data[:position] + bytes(byte ^ 255 for byte in data[position : position + 20]) + data[position + 20 :]
    )


@pytest.mark.parametrize("name", ["flac", "ogg (Vorbis)", "opus"])
def test_what_follows_the_damage_is_read(name: str, ffmpeg: None, tmp_path: Path) -> None:
    target = next(each for each in make_targets() if each.name == name)
    path = tmp_path / f"damaged.{target.ending}"
    path.write_bytes(changed(target.data, len(target.data) // 2))
    command = ["ffmpeg", "-v", "quiet", "-i", str(path), "-f", "f32le", "-c:a", "pcm_f32le", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    theirs = torch.frombuffer(bytearray(done.stdout), dtype=torch.float32)
    whole = files.read(path)
    assert whole.note is not None
    torch.testing.assert_close(whole.samples, theirs.reshape(-1, 2).T, atol=1e-5, rtol=0)
    reader, first = FileReader.of(path, 0.05), round(0.05 * whole.rate)
    spans = [(0, 3_000), (1_000, 4_001), (6_000, reader.samples)]
    for (start, stop), part in zip(spans, reader.read_spans(spans), strict=True):
        torch.testing.assert_close(part, whole.samples[:, first + start : first + stop], atol=0, rtol=0)


@pytest.mark.parametrize("sizes", [bytes.fromhex("ffffffff"), bytes.fromhex("00101000"), bytes(4)])
def test_a_flac_header_with_a_wrong_block_size_is_not_believed(sizes: bytes, tmp_path: Path) -> None:
    whole = next(each for each in targets() if each.name == "flac").data
    good, wrong = tmp_path / "good.flac", tmp_path / "wrong.flac"
    good.write_bytes(whole)
    wrong.write_bytes(whole[:8] + sizes + whole[12:])
    assert torch.equal(files.read(wrong).samples, files.read(good).samples)
    assert files.inspect(wrong).note is None


def test_without_ffmpeg_the_rest_of_a_damaged_file_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for target in targets():
        if target.name in ("flac", "ogg (Vorbis)"):
            path = tmp_path / f"damaged.{target.ending}"
            path.write_bytes(changed(target.data, 3 * len(target.data) // 4))
            assert files.inspect(path).note is not None


def test_mp3_frames_between_and_behind_something_else_are_read(tmp_path: Path) -> None:
    mp3 = next(each for each in targets() if each.name == "mp3")
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3.data)
    whole, stream = files.read(path).samples, mpeg.read_stream(path)
    assert stream is not None
    frames = mp3.data[stream.spans[0][0] :]
    between = list(mpeg._frames(mp3.data))[5].offset
    path.write_bytes(changed(mp3.data, between, bytes(1500)))
    # Without the tag's promise of where the music ends, a part of the last frame's padding is kept.
    read = files.read(path).samples
    assert 0 <= read.shape[1] - whole.shape[1] < 1152
    torch.testing.assert_close(read[:, : whole.shape[1]], whole, atol=1e-5, rtol=0)
    path.write_bytes(bytes(1000) + frames)
    assert files.inspect(path).samples == stream.samples


def test_samples_from_ffmpeg_can_be_written_to(ffmpeg: None, tmp_path: Path) -> None:
    files.write(tmp_path / "a.wav", torch.zeros(1, 100), 8000)
    with closing(FfmpegDecoder(tmp_path / "a.wav", "ffmpeg")) as decoder:
        assert decoder.read(100).flags.writeable


@pytest.mark.parametrize("name", [result_store.REQUEST_FILE, result_store.RECORDS_FILE])
def test_json_that_is_nested_too_deeply_is_damaged(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("[" * 100_000 + "\n")
    with pytest.raises(TagBoxError, match="damaged"):
        read = result_store.read_request if name.endswith(".json") else result_store.read_records
        read(tmp_path)


def test_a_request_with_another_kind_of_table_is_damaged(tmp_path: Path) -> None:
    (tmp_path / result_store.REQUEST_FILE).write_text('{"methods": 5}')
    with pytest.raises(TagBoxError, match="damaged"):
        result_store.open_run(tmp_path, {"methods": {}}, resume=True)


@pytest.mark.parametrize("record", [{"key": "a"}, {"key": "a", "source": "b", "took": 1e308}])
def test_a_record_that_somebody_changed_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(TagBoxError, match="not as it was written"):
        summarise([record])


def test_a_note_after_years_of_silence_takes_no_time() -> None:
    notes = [Note(start, 0.1, 60, 90) for start in (0.0, 1.0, 2.5, 2.6, 1e9)]
    begin = time.monotonic()
    assert busiest_window([Part(0, tuple(notes))], 2.0, 1) == 1
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize(("ticks", "words"), [(0, "SMPTE|no MIDI file"), (0xE728, "SMPTE")])
def test_midi_that_does_not_count_in_beats_is_refused(ticks: int, words: str, tmp_path: Path) -> None:
    pytest.importorskip("mido")
    path = tmp_path / "frames.mid"
    path.write_bytes(midi.standard_midi_file([(0, b"\x90\x3c\x40")], ticks, 500_000))
    with pytest.raises(TagBoxError, match=words):
        midi.read_midi_file(path)


def test_what_a_killed_program_leaves_is_removed(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}abcd_123.wav").write_bytes(b"half")
    (tmp_path / f"{PREFIX}abcd_124").mkdir()
    (tmp_path / f"{PREFIX}abcd_124" / "violin.wav").write_bytes(b"half")
    (tmp_path / f"{PREFIX}notes of mine.txt").write_bytes(b"whole")
    write_json({}, tmp_path / "run.json", force=False)
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", f"{PREFIX}notes of mine.txt"}


def test_what_a_living_program_writes_is_left_alone(tmp_path: Path) -> None:
    with temporary_file(tmp_path, ".wav") as file, temporary_folder(tmp_path) as folder:
        remove_abandoned(tmp_path)
        assert file.exists() and folder.exists()
        program = "import sys; from pathlib import Path; from tagbox import temporary_files; "
        program += "temporary_files.remove_abandoned(Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
        assert file.exists() and folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_temporary_files_in_temporary_folders_wait_for_nobody(tmp_path: Path) -> None:
    begin = time.monotonic()
    with temporary_folder(tmp_path) as folder, temporary_file(folder):
        assert time.monotonic() - begin < 1


@pytest.mark.parametrize(
    ("number", "is_machine"),
    [
        (errno.ENOSPC, True),
        (errno.EIO, True),
        (errno.EROFS, True),
        (errno.EACCES, True),
        (errno.ENOTDIR, False),
    ],
)
def test_faults_of_the_machine_are_told_from_mistakes(number: int, is_machine: bool, tmp_path: Path) -> None:
    error = failed_write(tmp_path, OSError(number, os.strerror(number)))
    assert isinstance(error, UnwritableOutputError)
    assert isinstance(error, MachineError) == is_machine
    assert str(tmp_path) in str(error) and "\n" not in str(error)


def test_a_full_disk_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    place, manifest = tmp_path / "a.wav", tmp_path / "run.json"
    place.write_bytes(b"old")
    manifest.write_bytes(b"{}")
    with pytest.raises(FailedWriteError, match="full"), written_together(manifest, {}, [place]) as temporary:
        (temporary / "a.wav").write_bytes(b"new")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert place.read_bytes() == b"old" and manifest.read_bytes() == b"{}"
    with pytest.raises(FailedWriteError, match="full"), write_atomically(place, force=True):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert {path.name for path in tmp_path.iterdir()} == {"a.wav", "run.json"}


def test_a_manifest_never_describes_files_of_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.wav", "run.json", "new.wav", "new.json"):
        (tmp_path / name).write_text(name)

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    moves = {tmp_path / "new.json": tmp_path / "run.json", tmp_path / "new.wav": tmp_path / "a.wav"}
    with pytest.raises(KeyboardInterrupt):
        move_together(moves, tmp_path / "run.json")
    assert not (tmp_path / "run.json").exists()


def test_a_move_that_is_refused_puts_back_what_was_there(tmp_path: Path) -> None:
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    (out / "z.wav").mkdir(parents=True)  # A file cannot take the place of a folder.
    temporary.mkdir()
    for name in ("a.wav", "run.json"):
        (out / name).write_text("earlier")
    names = ("a.wav", "new.wav", "z.wav", "run.json")
    for name in names:
        (temporary / name).write_text("new")
    with pytest.raises(OSError, match="directory"):
        move_together({temporary / name: out / name for name in names}, out / "run.json")
    assert {path.name for path in out.iterdir()} == {"a.wav", "run.json", "z.wav"}
    assert (out / "a.wav").read_text() == (out / "run.json").read_text() == "earlier"


@pytest.mark.parametrize("name", ["flac", "stems in flac"])
def test_small_disks(name: str, tmp_path: Path) -> None:
    try:
        with full_disk._small_disk(tmp_path, 1):
            pass
    except OSError as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    for pages in (1, 3, 9):
        with full_disk._small_disk(tmp_path, pages) as disk:
            assert full_disk._try_once(full_disk.WRITERS[name], disk) == (None, False)


@pytest.mark.integration
def test_a_file_that_may_not_grow_is_said_in_a_line(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys, torch\n"
        "from tagbox.audio import files\n"
        "from tagbox.errors import FailedWriteError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
        "for ending in ('wav', 'flac'):\n"
        "    try: files.write(sys.argv[1] + '/a.' + ending, torch.rand(2, 50_000) - 0.5, 44_100)\n"
        "    except FailedWriteError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


WRITE_WITH_FAILING_CALLS = """
import errno, os, sys
from pathlib import Path
import soundfile, torch
from benchmarks.robustness.failing_calls import State
from tagbox.atomic_files import write_atomically
from tagbox.audio import files
from tagbox.audio.metadata import Metadata
from tagbox.errors import FailedWriteError

def write(path, signal, bits):
    if path.suffix != ".mp3":
        files.write(path, signal, 44_100, bits, metadata=Metadata({"TITLE": "Song"}))
        return
    options = (44_100, 2, None, "MP3")
    with write_atomically(path) as temporary, files.open_written(temporary, path, *options) as file:
        files.append_samples(file, signal.T.contiguous().numpy(), path)

state, disk = State(Path(os.environ["FAILING_CALLS_STATE"])), Path(os.environ["FAILING_CALLS_FOLDER"])
music = torch.rand(2, 5_000, generator=torch.Generator().manual_seed(0)) - 0.5
for ending, bits in (("wav", "float"), ("wav", "16"), ("flac", "24"), ("mp3", None)):
    path, number, calls = disk / f"a.{ending}", 0, 1
    # Of an mp3 file, the first frames and the tag are written together.
    signal = music.repeat(1, 4) if ending == "mp3" else music
    while number <= calls:
        state.begin(number, errno.EIO)
        try:
            write(path, signal, bits)
            done = True
        except FailedWriteError:
            done = False
        calls = max(calls, state.calls())
        state.begin(0)
        whole = path.exists() and soundfile.info(path).frames == signal.shape[1]
        whole = whole and len(soundfile.read(path)[0]) == signal.shape[1] and files.read(path).note is None
        if done != whole or len(list(disk.iterdir())) != done:
            print(ending, bits, "call", number, "of", calls, done, whole, list(disk.iterdir()))
        path.unlink(missing_ok=True)
        number += 1
    assert number > 5, "no call failed"
"""


@pytest.mark.integration
def test_no_file_is_called_done_of_which_a_write_was_lost(tmp_path: Path) -> None:
    environment = preloaded(tmp_path)
    if isinstance(environment, str):
        pytest.skip(environment)
    command = [sys.executable, "-c", WRITE_WITH_FAILING_CALLS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr[-500:]


def _allocate(error: Exception) -> None:
    with explain_out_of_memory():
        raise error


def test_too_little_memory_is_said_in_a_line() -> None:
    words = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"
    for error in (MemoryError(), RuntimeError(words), torch.OutOfMemoryError("CUDA out of memory")):
        with pytest.raises(OutOfMemoryError, match="--segment"):
            _allocate(error)
    with pytest.raises(RuntimeError, match="shapes"):
        _allocate(RuntimeError("shapes differ"))


def test_a_tensor_larger_than_memory_raises_what_is_recognised() -> None:
    with pytest.raises(OutOfMemoryError), explain_out_of_memory():
        torch.empty(1 << 52)


SEPARATE_IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
import tagbox.api, tagbox.cli.batch
from benchmarks.robustness.child import limit_memory
from benchmarks.robustness.jobs import TINY, in_fork, run_command

for spare in (2, 40):
    def separate(out, again):
        limit_memory(spare << 20)
        run_command("separate", sys.argv[1], "--tags", "violin", "-o", out, *TINY)

    code, lines = in_fork(separate, Path(sys.argv[2]), False)
    print(code, " / ".join(lines))
"""


@pytest.mark.integration
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited as Linux does it")
def test_a_separation_for_which_memory_is_too_little(tmp_path: Path) -> None:
    duet, out = ROOT / "examples" / "duet" / "mixture.flac", tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", SEPARATE_IN_LITTLE_MEMORY, str(duet), str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("1 ") and line.count("tagbox: ") == 1 and "memory" in line
    assert not out.exists()


@pytest.mark.parametrize("command", ["separate", "transfer", "evaluate", "dataset", "train-generator"])
def test_a_disk_that_is_read_only_is_told_before_the_work(command: str, tmp_path: Path) -> None:
    try:
        with full_disk._small_disk(tmp_path, 1, read_only=True) as disk:
            duet = ROOT / "examples" / "duet"
            given = {
                "separate": (duet / "mixture.flac", "--tags", "violin"),
                "transfer": (duet / "mixture.flac", "--tags", "violin"),
                "evaluate": (duet.parent,),
                "train-generator": (duet,),
            }.get(command, ())
            name = {"transfer": "a.wav", "train-generator": "a.safetensors"}.get(command, "out")
            place = ("-o",) if given else ()
            code, out, err = run_tagbox(command, *given, *place, disk / name)
    except OSError as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    assert (code, out) == (1, "") and err.startswith("tagbox: ") and err.count("\n") == 1
    assert str(disk) in err


def test_remarks_of_decoders_are_dropped_and_other_words_are_not(capfd: pytest.CaptureFixture[str]) -> None:
    with decoders_silenced():
        os.write(2, b"[src/libmpg123/layer3.c:do_layer3():1844] error: dequantization failed!\nkept\n")
        os.write(1, b"Error A : 40\n")
    assert capfd.readouterr() == ("", "kept\n")


def test_an_excerpt_that_memory_cannot_hold_is_a_fault_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(tmp_path / "a.wav", torch.zeros(1, 100), 8000)

    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(files.np, "empty", exhausted)
    with pytest.raises(MachineError, match="too long for the memory"):
        files.read(tmp_path / "a.wav")
