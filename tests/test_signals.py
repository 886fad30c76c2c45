"""Signals that come while a library calls back into Python, or while a temporary file is made or removed."""

import io
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import soundfile

from tagbox import temporary_files
from tagbox.signals import EndedBySignal, ended_by_signals

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"
PATIENCE_SECONDS = 60


class Interrupted(io.BytesIO):
    """A file during whose first read a signal comes."""

    def __init__(self, content: bytes, number: signal.Signals) -> None:
        super().__init__(content)
        self.number: signal.Signals | None = number

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # type: ignore[override]
        number, self.number = self.number, None
        if number is not None:
            signal.raise_signal(number)
        return super().readinto(buffer)


@pytest.mark.parametrize(
    ("number", "raised"),
    [
        (signal.SIGTERM, EndedBySignal),
        (signal.SIGHUP, EndedBySignal),
        (signal.SIGINT, KeyboardInterrupt),
    ],
)
def test_a_signal_while_a_file_is_read_ends_the_work(
    number: signal.Signals, raised: type[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    file = Interrupted(DUET.read_bytes(), number)
    before = signal.getsignal(number)
    with pytest.raises(raised), ended_by_signals():
        soundfile.read(file)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.01)
    assert file.number is None and "Traceback" not in capfd.readouterr().err
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("make", [temporary_files.temporary_file, temporary_files.temporary_folder])
def test_a_signal_at_any_line_leaves_no_temporary_file(
    make: Callable[[Path], AbstractContextManager[Path]], tmp_path: Path
) -> None:
    """The first line of the module that runs raises a signal, then the second, and so on to the last."""
    last, lines = 0, 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename != temporary_files.__file__:
            return None
        if event == "line":
            lines += 1
            if lines == last:
                signal.raise_signal(signal.SIGTERM)
        return trace

    while lines >= last:
        last, lines = last + 1, 0
        with pytest.raises(EndedBySignal), ended_by_signals():
            sys.settrace(trace)
            try:
                with make(tmp_path) as made:
                    assert made.exists()
            finally:
                sys.settrace(None)
            if lines < last:
                signal.raise_signal(signal.SIGTERM)
            # What was put off comes.
            time.sleep(PATIENCE_SECONDS)
        assert not list(tmp_path.iterdir())
    assert last > 20
