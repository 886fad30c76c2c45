"""A part of a list, for job arrays: the same list on every machine, and each machine does its own part."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from tagbox.errors import TagBoxError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Part:
    """One of several parts.

    Attributes:
        number: from 1.
        count: of all parts.
    """

    number: int
    count: int

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Return every `count`-th item: parts are disjoint, together they are all, and neighbours are spread.

        >>> Part(2, 3).of("abcdefg")
        ['b', 'e']
        """
        return list(items[self.number - 1 :: self.count])

    def __str__(self) -> str:
        """Return it as it is given."""
        return f"{self.number}/{self.count}"


def parse_part(text: str) -> Part:
    """Parse "3/20", the third of twenty parts.

    Raises:
        TagBoxError: it is something else.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
    part = Part(int(match[1]), int(match[2])) if match else Part(0, 0)
    if not 1 <= part.number <= part.count:
        raise TagBoxError(f"--part cannot be {text!r}; give for example 3/20, the third of twenty parts")
    return part
