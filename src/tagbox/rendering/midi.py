"""Standard MIDI Files: written here, read through mido (extra `eval`)."""

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from tagbox.errors import TagBoxError
from tagbox.rendering.general_midi import DRUM_CHANNEL
from tagbox.rendering.scores import Control, Note, Part, Score

TICKS = 960
"""A second, as parts are written."""
ENDINGS = (".mid", ".midi")


def standard_midi_file(events: Iterable[tuple[int, bytes]], ticks: int, tempo: int) -> bytes:
    """A file of one track.

    Args:
        events: (tick, channel message), in any order; at one tick notes end before others begin, or a
            repeated note would be cut off at once.
        ticks: a quarter note.
        tempo: microseconds a quarter note.
    """
    ordered = sorted(events, key=lambda event: (event[0], event[1][0] & 0xF0 == 0x90))
    track = bytearray(b"\x00\xff\x51\x03" + tempo.to_bytes(3, "big"))
    before = 0
    for when, message in ordered:
        track += _variable(when - before) + message
        before = when
    track += b"\x00\xff\x2f\x00"
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, ticks)
    return header + b"MTrk" + struct.pack(">I", len(track)) + bytes(track)


def _variable(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | (value & 0x7F))
    return bytes(reversed(out))


def write(parts: Sequence[Part]) -> bytes:
    """A file in which every part has a channel of its own; at most fifteen parts and one of drums."""
    free = iter(channel for channel in range(16) if channel != DRUM_CHANNEL)
    events: list[tuple[int, bytes]] = []
    for part in parts:
        channel = DRUM_CHANNEL if part.program is None else next(free)
        events.append((0, bytes((0xC0 | channel, part.program or 0))))
        for control in part.controls:
            events.append((_tick(control.when), bytes((control.message[0] | channel, *control.message[1:]))))
        for note in part.notes:
            on = _tick(note.start)
            # A note of no length would end before it begins, and sound for ever.
            off = max(on + 1, _tick(note.start + note.length))
            events.append((on, bytes((0x90 | channel, note.pitch, note.velocity))))
            events.append((off, bytes((0x80 | channel, note.pitch, 0))))
    return standard_midi_file(events, TICKS // 2, 500_000)


def _tick(seconds: float) -> int:
    return int(seconds * TICKS)


def read(path: Path) -> Score:
    """A part for every channel and program in `path`; the drum channel is one part.

    Raises:
        TagBoxError: it is no MIDI file that can be read, or mido is missing.
    """
    mido = _mido()
    try:
        # Old files carry values out of range, and tracks that say they are longer than they are.
        messages = list(mido.MidiFile(path, clip=True))
    except (OSError, ValueError, EOFError, KeyError, IndexError) as error:
        raise TagBoxError(f"{path} is no MIDI file that can be read ({error}); leave it out") from error
    now = 0.0
    programs: list[int | None] = [0] * 16
    programs[DRUM_CHANNEL] = None
    notes: dict[tuple[int, int | None], list[Note]] = {}
    controls: dict[int, list[Control]] = {}
    sounding: dict[tuple[int, int], tuple[float, int, int | None]] = {}

    def end(channel: int, pitch: int) -> None:
        begun = sounding.pop((channel, pitch), None)
        if begun is not None:
            start, velocity, program = begun
            notes.setdefault((channel, program), []).append(Note(start, now - start, pitch, velocity))

    for message in messages:
        now += message.time
        if message.is_meta or not hasattr(message, "channel"):
            continue
        channel = message.channel
        if message.type == "program_change":
            if channel != DRUM_CHANNEL:
                programs[channel] = message.program
        elif message.type in ("note_on", "note_off"):
            end(channel, message.note)
            if message.type == "note_on" and message.velocity > 0:
                sounding[channel, message.note] = (now, message.velocity, programs[channel])
        else:
            status, *rest = message.bytes()
            controls.setdefault(channel, []).append(Control(now, bytes((status & 0xF0, *rest))))
    for channel, pitch in list(sounding):
        end(channel, pitch)
    parts = (
        Part(program, tuple(sorted(played, key=lambda n: n.start)), tuple(controls.get(channel, ())))
        for (channel, program), played in sorted(
            notes.items(), key=lambda item: (item[0][0], str(item[0][1]))
        )
    )
    return Score(path.stem, tuple(parts))


def files(folder: Path) -> list[Path]:
    """Every MIDI file in `folder`, however deep, by name.

    Raises:
        TagBoxError: there is no such folder, or no MIDI file in it.
    """
    if not folder.is_dir():
        raise TagBoxError(f"there is no folder {folder}; give one that holds MIDI files")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not found:
        raise TagBoxError(f"there is no MIDI file in {folder}; their names end in {' or '.join(ENDINGS)}")
    return found


def _mido() -> ModuleType:
    try:
        import mido
    except ImportError as error:
        raise TagBoxError(
            "MIDI files are read by mido; install it with: pip install 'tagbox[eval]', or leave --midi out"
        ) from error
    module: ModuleType = mido
    return module
