"""Things to steer by name. A new kind is one file and one line here."""

from collections.abc import Callable
from dataclasses import dataclass

from tagbox.errors import TagBoxError
from tagbox.steerables import gates, latents
from tagbox.steerables.material import Material
from tagbox.steerables.steerable import Steerable


@dataclass(frozen=True)
class Kind:
    """A kind of thing to steer.

    Attributes:
        make: one of it, for the words of its material.
        shared: one makes all sources at once; otherwise each source has its own, steered after the other.
        generator: whether it needs one.
    """

    make: Callable[[Material], Steerable]
    shared: bool = False
    generator: bool = False


KINDS: dict[str, Kind] = {
    "gates": Kind(gates.make, shared=True),
    "latents": Kind(latents.make, generator=True),
}


def find(name: str) -> Kind:
    """The kind called `name`.

    Raises:
        TagBoxError: there is none.
    """
    if name not in KINDS:
        raise TagBoxError(f"steer cannot be {name!r}; choose one of {', '.join(KINDS)}")
    return KINDS[name]
