"""Write Standard MIDI Files, and read them with mido (extra `eval`)."""

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from tagbox.errors import TagBoxError
from tagbox.rendering.general_midi import DRUM_CHANNEL
from tagbox.rendering.scores import Control, Note, Part, Score

TICKS_PER_SECOND = 960
MIDI_ENDINGS = (".mid", ".midi")
MAX_SONG_SECONDS = 24 * 3600


def standard_midi_file(events: Iterable[tuple[int, bytes]], ticks: int, tempo: int) -> bytes:
    """Encode a file of one track.

    Args:
        events: (tick, channel message), in any order. At one tick notes end before others begin; otherwise a
            repeated note would be cut off at once.
        ticks: per quarter note.
        tempo: microseconds per quarter note.
    """
    ordered = sorted(events, key=lambda event: (event[0], event[1][0] & 0xF0 == 0x90))
    track = bytearray(b"\x00\xff\x51\x03" + tempo.to_bytes(3, "big"))
    before = 0
    for when, message in ordered:
        track += _variable_length(when - before) + message
        before = when
    track += b"\x00\xff\x2f\x00"
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, ticks)
    return header + b"MTrk" + struct.pack(">I", len(track)) + bytes(track)


def _variable_length(value: int) -> bytes:
    """Encode a number in groups of seven bits, as the format encodes time."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | (value & 0x7F))
    return bytes(reversed(out))


def encode_midi(parts: Sequence[Part]) -> bytes:
    """Encode parts as a file, each on its own channel; at most fifteen parts and one of drums."""
    free = iter(channel for channel in range(16) if channel != DRUM_CHANNEL)
    events: list[tuple[int, bytes]] = []
    for part in parts:
        channel = DRUM_CHANNEL if part.program is None else next(free)
        events.append((0, bytes((0xC0 | channel, part.program or 0))))
        for control in part.controls:
            events.append((_tick(control.when), bytes((control.message[0] | channel, *control.message[1:]))))
        for note in part.notes:
            on = _tick(note.start)
            # A note of length 0 would end before it begins and never stop.
            off = max(on + 1, _tick(note.start + note.length))
            events.append((on, bytes((0x90 | channel, note.pitch, note.velocity))))
            events.append((off, bytes((0x80 | channel, note.pitch, 0))))
    return standard_midi_file(events, TICKS_PER_SECOND // 2, 500_000)


def _tick(seconds: float) -> int:
    return int(seconds * TICKS_PER_SECOND)


def read_midi_file(path: Path) -> Score:
    """Read a MIDI file as a part for every channel and program; the drum channel is one part.

    Raises:
        TagBoxError: the file cannot be read, or mido is not installed.
    """
    mido = _mido()
    try:
        # Old files contain values out of range, and tracks shorter than their headers state.
        file = mido.MidiFile(path, clip=True)
        messages = list(file) if file.ticks_per_beat > 0 else []
    except Exception as error:
        # A damaged file raises whatever its bytes happen to mean: EOFError, TypeError, KeySignatureError...
        reason = str(error) or type(error).__name__
        raise TagBoxError(f"{path} is no MIDI file that can be read ({reason}); leave it out") from error
    if file.ticks_per_beat <= 0:
        raise TagBoxError(f"{path} counts its time in frames of film (SMPTE), not in beats; leave it out")
    seconds = sum(message.time for message in messages)
    if not seconds <= MAX_SONG_SECONDS:
        raise TagBoxError(f"{path} lasts {seconds / 3600:.3g} hours, so it is damaged; leave it out")
    collector = _NoteCollector()
    for message in messages:
        collector.now += message.time
        if message.is_meta or not hasattr(message, "channel"):
            continue
        channel = message.channel
        if message.type == "program_change":
            collector.change_program(channel, message.program)
        elif message.type in ("note_on", "note_off"):
            collector.end_note(channel, message.note)
            if message.type == "note_on" and message.velocity > 0:
                collector.start_note(channel, message.note, message.velocity)
        else:
            collector.add_control(channel, message.bytes())
    return Score(path.stem, collector.parts())


class _NoteCollector:
    """Collects the messages of a file, in order, into parts; `now` is the time in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self._programs: list[int | None] = [0] * 16
        self._programs[DRUM_CHANNEL] = None
        self._notes: dict[tuple[int, int | None], list[Note]] = {}
        self._controls: dict[int, list[Control]] = {}
        self._sounding: dict[tuple[int, int], tuple[float, int, int | None]] = {}

    def change_program(self, channel: int, program: int) -> None:
        """Change the instrument of a channel; the drum channel has none."""
        if channel != DRUM_CHANNEL:
            self._programs[channel] = program

    def start_note(self, channel: int, pitch: int, velocity: int) -> None:
        """Start a note."""
        self._sounding[channel, pitch] = (self.now, velocity, self._programs[channel])

    def end_note(self, channel: int, pitch: int) -> None:
        """End a note, if it sounds."""
        sounding = self._sounding.pop((channel, pitch), None)
        if sounding is not None:
            start, velocity, program = sounding
            note = Note(start, self.now - start, pitch, velocity)
            self._notes.setdefault((channel, program), []).append(note)

    def add_control(self, channel: int, message: Sequence[int]) -> None:
        """Add a channel message other than a note."""
        status, *rest = message
        self._controls.setdefault(channel, []).append(Control(self.now, bytes((status & 0xF0, *rest))))

    def parts(self) -> tuple[Part, ...]:
        """End all notes; return the parts by channel and program."""
        for channel, pitch in list(self._sounding):
            self.end_note(channel, pitch)
        ordered = sorted(self._notes.items(), key=lambda item: (item[0][0], str(item[0][1])))
        return tuple(
            Part(
                program,
                tuple(sorted(notes, key=lambda note: note.start)),
                tuple(self._controls.get(channel, ())),
            )
            for (channel, program), notes in ordered
        )


def list_midi_files(folder: Path) -> list[Path]:
    """List every MIDI file in `folder` and the folders within it, sorted.

    Raises:
        TagBoxError: there is no such folder, or no MIDI file in it.
    """
    if not folder.is_dir():
        raise TagBoxError(f"there is no folder {folder}; give one that holds MIDI files")
    files = [path for path in folder.rglob("*") if path.suffix.lower() in MIDI_ENDINGS and path.is_file()]
    if not files:
        endings = " or ".join(MIDI_ENDINGS)
        raise TagBoxError(f"there is no MIDI file in {folder}; their names end in {endings}")
    return sorted(files)


def _mido() -> ModuleType:
    """Import mido, which is optional."""
    try:
        import mido
    except ImportError as error:
        raise TagBoxError(
            "MIDI files are read by mido; install it with: pip install 'tagbox[eval]', or leave --midi out"
        ) from error
    module: ModuleType = mido
    return module
