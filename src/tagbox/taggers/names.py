"""Names of taggers: the data that one was trained on, and its architecture."""

from typing import NamedTuple, Self

from tagbox.errors import UnknownModelError
from tagbox.plugins.descriptions import HUB_PREFIX


class TaggerName(NamedTuple):
    """A tagger's name, written data/architecture: "mtat/fcn". An address on the hub is a name by itself."""

    data: str
    architecture: str

    @classmethod
    def parse(cls, name: str) -> Self:
        """Split `name` at its slash; of an address on the hub (hf:owner/name), `data` is empty.

        Raises:
            UnknownModelError: it is not of the form data/architecture.

        >>> TaggerName.parse("mtat/fcn")
        TaggerName(data='mtat', architecture='fcn')
        """
        if name.startswith(HUB_PREFIX):
            return cls("", name)
        data, slash, architecture = name.partition("/")
        if not (data and slash and architecture) or "/" in architecture or ":" in name:
            raise UnknownModelError(
                f"{name!r} does not name a tagger; write data/architecture, for example mtat/fcn, or "
                f"{HUB_PREFIX}owner/name for a repository on the hub"
            )
        return cls(data, architecture)

    def __str__(self) -> str:
        is_address = self.architecture.startswith(HUB_PREFIX)
        return self.architecture if is_address else f"{self.data}/{self.architecture}"
