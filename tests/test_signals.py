"""Signals that come while a library calls back into Python."""

import io
import signal
import time
from pathlib import Path

import pytest
import soundfile

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
