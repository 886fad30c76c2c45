"""Find what is installed: entry points of TagBox itself and of plug-ins, by name.

An entry point names a description (see `tagbox.plugins.descriptions`) or a tuple of them. Nothing is looked
for, and no plug-in imported, before something is looked up. A plug-in that cannot be used becomes one line
(see `faults`), and harms nothing else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tagbox.errors import MissingWeightsError, TagBoxError
from tagbox.plugins.descriptions import HubClass, Method, Model, Vocabulary

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

Description = Model | HubClass | Method | Vocabulary

TAGGERS = "tagbox.taggers"
GENERATORS = "tagbox.generators"
SEPARATORS = "tagbox.separators"
VOCABULARIES = "tagbox.vocabularies"

DISTRIBUTION = "tagbox"
"""The name of TagBox among installed packages."""

OWN: Mapping[str, Mapping[str, str]] = {
    TAGGERS: {
        "tagbox": "tagbox.weights.catalogue:TAGGERS",
        "tagbox-hub": "tagbox.weights.hub_taggers:HUB_TAGGERS",
    },
    GENERATORS: {
        "tagbox": "tagbox.weights.catalogue:GENERATORS",
        "codecs": "tagbox.weights.codecs:CODECS",
    },
    SEPARATORS: {"tagbox": "tagbox.methods.registry:OWN_METHODS"},
    VOCABULARIES: {"tagbox": "tagbox.tags.vocabularies:OWN_VOCABULARIES"},
}
"""TagBox's own entry points, as pyproject.toml declares them. They are not read from the installed metadata,
which are another version's in a checkout that was updated since, and missing in one that is not installed."""


@dataclass(frozen=True)
class Origin:
    """The installed package that something comes from."""

    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def is_own(self) -> bool:
        """Whether it is TagBox itself."""
        return self.distribution == DISTRIBUTION


@dataclass(frozen=True)
class Offer(Generic[T]):
    """A description and where it comes from."""

    item: T
    origin: Origin


@dataclass(frozen=True)
class Discovery:
    """What the entry points of a group offer.

    Attributes:
        offers: by `key`; TagBox's own first, then by the name of the package.
        faults: a line for each plug-in, or part of one, that cannot be used.
    """

    offers: Mapping[str, Offer[Any]]
    faults: tuple[str, ...]


class Installed(Mapping[str, T]):
    """The descriptions of a group by name, looked for when the first is asked for."""

    def __init__(self, group: str, kind: type[T]) -> None:
        self._group = group
        self._kind = kind

    def __getitem__(self, name: str) -> T:
        item: T = self._items()[name].item
        return item

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def __len__(self) -> int:
        return len(self._items())

    def origin(self, name: str) -> Origin:
        """Return the package that offers `name`."""
        return self._items()[name].origin

    def _items(self) -> Mapping[str, Offer[Any]]:
        return {
            name: offer
            for name, offer in discover(self._group).offers.items()
            if isinstance(offer.item, self._kind)
        }


@cache
def discover(group: str) -> Discovery:
    """Import what the entry points of `group` name, once in a process."""
    offers: dict[str, Offer[Any]] = {}
    faults: list[str] = []
    for entry, origin in _entry_points(group):
        try:
            descriptions = _load(entry, group)
        # Whatever a plug-in's import raises, SystemExit included, is that plug-in's fault.
        except (Exception, SystemExit) as error:
            if origin.is_own:
                raise
            faults.append(f"the plug-in {origin} cannot be used: {_reason(error)}")
            continue
        for description in descriptions:
            taken = offers.get(description.key)
            if taken is not None:
                faults.append(
                    f"the plug-in {origin} offers {description.key}, a name that {taken.origin} has; "
                    f"uninstall one of them"
                )
                continue
            offers[description.key] = Offer(description, origin)
    return Discovery(offers, tuple(faults))


def faults() -> tuple[str, ...]:
    """Return a line for everything that plug-ins offer and that cannot be used, each once."""
    return tuple(dict.fromkeys(fault for group in OWN for fault in discover(group).faults))


def import_code(code: str, origin: Origin | None, name: str) -> Any:
    """Import "module:function", which is called for what users know as `name`.

    Raises:
        TagBoxError: a plug-in has no such function, or cannot be imported; names its package.
    """
    module, _, function = code.partition(":")
    try:
        return getattr(import_module(module), function)
    except (Exception, SystemExit) as error:
        if origin is None or origin.is_own:
            raise
        raise TagBoxError(f"{name} of the plug-in {origin} cannot be used: {_reason(error)}") from error


def check_requirements(described: Model | HubClass) -> None:
    """Check that the packages which a model needs are installed, without importing them.

    Raises:
        MissingWeightsError: one is not; says what to install.
    """
    missing = missing_packages(described)
    if missing:
        wanted = described.extra or missing[0]
        raise MissingWeightsError(
            f"{described.key} needs {missing[0]}; install it with: pip install '{wanted}'"
        )


def missing_packages(described: Model | HubClass) -> tuple[str, ...]:
    """Return those of the packages which a model needs that are not installed, without importing any."""
    return tuple(package for package in described.requires if find_spec(package) is None)


def package_folder(package: str) -> Path:
    """Return the folder of an installed package, without importing it where it is a top-level one.

    Raises:
        TagBoxError: there is no such package.
    """
    try:
        spec = find_spec(package)
    except ImportError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise TagBoxError(f"there is no package {package} that weights could be part of; install it again")
    return Path(next(iter(spec.submodule_search_locations)))


def _entry_points(group: str) -> "list[tuple[EntryPoint, Origin]]":
    """Return the entry points of a group: TagBox's own, then those of plug-ins by the name of the package."""
    from importlib.metadata import EntryPoint, entry_points

    from tagbox import __version__

    own_origin = Origin(DISTRIBUTION, __version__)
    own = {name: EntryPoint(name, code, group) for name, code in OWN[group].items()}
    others: list[tuple[EntryPoint, Origin]] = []
    for entry in entry_points(group=group):
        origin = Origin(entry.dist.name, entry.dist.version) if entry.dist else Origin("unknown", "?")
        if not origin.is_own:
            others.append((entry, origin))
    others.sort(key=lambda each: (each[1].distribution.lower(), each[0].name))
    return [*((entry, own_origin) for entry in own.values()), *others]


def _load(entry: "EntryPoint", group: str) -> tuple[Description, ...]:
    """Import what an entry point names, and check that the group takes it.

    Raises:
        TagBoxError: it is something else.
    """
    loaded = entry.load()
    descriptions = loaded if isinstance(loaded, tuple | list) else (loaded,)
    for description in descriptions:
        if not _fits(description, group):
            raise TagBoxError(
                f"{entry.value} is {type(description).__name__}, where {group} takes {_EXPECTED[group]}"
            )
    return tuple(descriptions)


_EXPECTED = {
    TAGGERS: "a Model or HubClass of the kind tagger",
    GENERATORS: "a Model or HubClass of the kind generator",
    SEPARATORS: "a Method",
    VOCABULARIES: "a Vocabulary",
}


def _fits(description: object, group: str) -> bool:
    if group == SEPARATORS:
        return isinstance(description, Method)
    if group == VOCABULARIES:
        return isinstance(description, Vocabulary)
    kind = "tagger" if group == TAGGERS else "generator"
    return isinstance(description, Model | HubClass) and description.kind == kind


def _reason(error: BaseException) -> str:
    """Return an error in one line, with the name of its class where that says more."""
    text = " ".join(str(error).split())
    if isinstance(error, TagBoxError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
