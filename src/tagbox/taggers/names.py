"""Names of taggers: the data that one was trained on, and its architecture."""

from typing import NamedTuple, Self

from tagbox.errors import UnknownModelError


class TaggerName(NamedTuple):
    """A tagger's name, written data/architecture: "mtat/fcn"."""

    data: str
    architecture: str

    @classmethod
    def parse(cls, name: str) -> Self:
        """Split `name` at its slash.

        Raises:
            UnknownModelError: it is not of the form data/architecture.

        >>> TaggerName.parse("mtat/fcn")
        TaggerName(data='mtat', architecture='fcn')
        """
        data, slash, architecture = name.partition("/")
        if not (data and slash and architecture):
            raise UnknownModelError(
                f"{name!r} does not name a tagger; write data/architecture, for example mtat/fcn"
            )
        return cls(data, architecture)

    def __str__(self) -> str:
        return f"{self.data}/{self.architecture}"
