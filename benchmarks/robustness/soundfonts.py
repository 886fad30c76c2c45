"""Write a minimal General MIDI soundfont, in which every program and the drum kit is one looped tone."""

import struct
from pathlib import Path

import numpy as np

RATE = 44_100
PERIOD = 100
"""Of the tone, samples: 441 Hz, nearly A4."""


def write(path: Path) -> Path:
    """Write the soundfont to `path`, as the SoundFont 2.01 specification defines the format."""
    turns = np.arange(4 * PERIOD) / PERIOD
    tone = 0.6 * np.sin(2 * np.pi * turns) + 0.3 * np.sin(4 * np.pi * turns)
    samples = np.concatenate([tone, np.zeros(46)])
    presets = [*((number, 0) for number in range(128)), (0, 128)]
    headers = b"".join(
        _name(f"program {number}") + struct.pack("<HHHIII", number, bank, i, 0, 0, 0)
        for i, (number, bank) in enumerate(presets)
    )
    count = len(presets)
    pdta = {
        "phdr": headers + _name("EOP") + struct.pack("<HHHIII", 0, 0, count, 0, 0, 0),
        "pbag": b"".join(struct.pack("<HH", i, 0) for i in range(count + 1)),
        "pmod": bytes(10),
        "pgen": struct.pack("<HH", 41, 0) * count + bytes(4),
        "inst": _name("tone") + struct.pack("<H", 0) + _name("EOI") + struct.pack("<H", 1),
        "ibag": struct.pack("<HHHH", 0, 0, 2, 0),
        "imod": bytes(10),
        "igen": struct.pack("<HHHH", 54, 1, 53, 0) + bytes(4),
        "shdr": _name("tone")
        + struct.pack("<IIIIIBbHH", 0, 4 * PERIOD, PERIOD, 3 * PERIOD, RATE, 69, 0, 0, 1)
        + _name("EOS")
        + bytes(26),
    }
    info = (
        _chunk("ifil", struct.pack("<HH", 2, 1)) + _chunk("isng", b"EMU8000\0") + _chunk("INAM", b"tone\0\0")
    )
    body = b"sfbk" + _list("INFO", info)
    body += _list("sdta", _chunk("smpl", (samples * 2**14).astype("<i2").tobytes()))
    body += _list("pdta", b"".join(_chunk(name, data) for name, data in pdta.items()))
    path.write_bytes(_chunk("RIFF", body))
    return path


def _name(text: str) -> bytes:
    return text.encode().ljust(20, b"\0")


def _chunk(name: str, data: bytes) -> bytes:
    return name.encode() + struct.pack("<I", len(data)) + data


def _list(name: str, data: bytes) -> bytes:
    return _chunk("LIST", name.encode() + data)
