"""Look up items by the names under which users ask for them."""

from collections.abc import Mapping
from typing import TypeVar

from tagbox.errors import UnknownModelError

T = TypeVar("T")


def look_up(items: Mapping[str, T], name: str, kind: str) -> T:
    """Return the item called `name`.

    Args:
        kind: what the items are, in the singular, for the error message: "preset", "baseline".

    Raises:
        UnknownModelError: no item has the name; the message lists those that there are.
    """
    if name not in items:
        raise UnknownModelError(f"no {kind} is called {name!r}; choose one of {', '.join(items)}")
    return items[name]
