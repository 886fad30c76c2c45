"""Damage files as disks, networks and broken programs do; the same seed gives the same damage."""

import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator

HEADER_BYTES = 512
"""Where most of a file's lies are told."""

EDGE_NUMBERS = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01")
"""Bytes of which fields of a header are filled: 0, the largest, the largest signed, the smallest, 1."""


def random_for(seed: int, kind: str, index: int) -> Random:
    """Return the random numbers of one damaged input, whatever process makes it."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), index])


def flip_bits(data: bytes, random: Random) -> bytes:
    """Flip one bit up to one in a hundred, anywhere or only in the header."""
    damaged = bytearray(data)
    reach = len(data) if random.random() < 0.5 else min(len(data), HEADER_BYTES)
    count = 1 if random.random() < 0.3 else int(random.integers(1, 2 + reach // 100))
    for position in random.integers(0, reach, count):
        damaged[position] ^= 1 << int(random.integers(8))
    return bytes(damaged)


def cut(data: bytes, random: Random) -> bytes:
    """Keep the beginning, the end, or leave out a part in the middle."""
    first, last = sorted(int(each) for each in random.integers(0, len(data) + 1, 2))
    return (data[:first], data[last:], data[:first] + data[last:])[int(random.integers(3))]


def insert(data: bytes, random: Random) -> bytes:
    """Insert random bytes, zeros, or a copy of a part."""
    position = int(random.integers(0, len(data) + 1))
    size = int(random.integers(1, 2000))
    start = int(random.integers(0, len(data)))
    choice = int(random.integers(3))
    inserted = (random.bytes(size), bytes(size), data[start : start + size])[choice]
    return data[:position] + inserted + data[position:]


def swap_blocks(data: bytes, random: Random) -> bytes:
    """Exchange two blocks of the same size, as a disk that writes to the wrong place does."""
    size = int(random.integers(1, max(2, len(data) // 4)))
    one, two = sorted(int(each) for each in random.integers(0, max(1, len(data) - size), 2))
    two = max(two, one + size)
    return (
        data[:one]
        + data[two : two + size]
        + data[one + size : two]
        + data[one : one + size]
        + data[two + size :]
    )


def lie_in_header(data: bytes, random: Random) -> bytes:
    """Fill one to three fields of the header (1, 2, 4 or 8 bytes) with the edges of their range."""
    damaged = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        width = int(random.choice((1, 2, 4, 8)))
        position = int(random.integers(0, min(len(data), HEADER_BYTES)))
        number = EDGE_NUMBERS[int(random.integers(len(EDGE_NUMBERS)))] * width
        if random.random() < 0.3:
            number = random.bytes(width)
        damaged[position : position + width] = number
    return bytes(damaged)


EDGE_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, float("nan"), 10**30, "", "é\ud800", [], {}, [[]], {"key": None}, "x" * 5000,
)  # fmt: skip
"""What a hand or a program may put where another value belongs in a JSON file."""


def change_json(data: bytes, random: Random) -> bytes:
    """Replace, remove or add a value anywhere in a JSON text, or in one of its lines."""
    lines = data.decode().splitlines()
    whole = data.decode().strip()
    try:
        json.loads(whole)
        lines = [whole]
    except ValueError:
        pass
    chosen = int(random.integers(len(lines)))
    if random.random() < 0.1:
        lines[chosen] = "[" * 100_000
    else:
        lines[chosen] = json.dumps(_change(json.loads(lines[chosen]), random))
    return ("\n".join(lines) + "\n").encode()


def _change(value: Any, random: Random) -> Any:
    edge = EDGE_VALUES[int(random.integers(len(EDGE_VALUES)))]
    if not isinstance(value, dict | list) or not value or random.random() < 0.15:
        return edge
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[int(random.integers(len(keys)))]
    copied = dict(value) if isinstance(value, dict) else list(value)
    choice = random.random()
    if choice < 0.2:
        del copied[key]
    else:
        copied[key] = _change(copied[key], random)
    return copied


KINDS: dict[str, Callable[[bytes, Random], bytes]] = {
    "bit flips": flip_bits,
    "cuts": cut,
    "insertions": insert,
    "swapped blocks": swap_blocks,
    "lying headers": lie_in_header,
}


def damage(data: bytes, random: Random, is_json: bool = False) -> bytes:
    """Damage `data` in one of the ways, now and then in two."""
    ways = [*KINDS.values(), *((change_json,) * 5 if is_json else ())]
    damaged = ways[int(random.integers(len(ways)))](data, random)
    if damaged and random.random() < 0.2:
        damaged = tuple(KINDS.values())[int(random.integers(len(KINDS)))](damaged, random)
    return damaged
