"""Load models from the Hugging Face hub, by their address: hf:owner/name@revision.

Only data are read: config.json, safetensors and what a class of models names beside them. Code in a
repository is never run, and pickles are never opened. A revision is pinned to its commit, which run.json
records. Files are kept in the cache of huggingface_hub, where other programs find them too; what is there
needs no network.
"""

import fnmatch
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies

from tagbox.errors import FailedWriteError, InvalidWeightsError, MissingWeightsError, UnknownModelError
from tagbox.plugins import discovery
from tagbox.plugins.descriptions import HUB_PREFIX, HubClass, Model, ModelKind
from tagbox.plugins.discovery import Installed
from tagbox.snapshots import CACHED, CONFIG, INDEX_SUFFIX, PICKLES, read_config, weight_files, weight_paths

CARD = "README.md"
DEFAULT_REVISION = "main"
CONNECT_SECONDS = 5.0
CONVERTER = "SFconvertbot"
"""The account that offers weights as safetensors where a repository has pickles."""
HUB_MISSING = "models from the hub need huggingface_hub; install it with: pip install 'tagbox[hf]'"

UNREACHABLE = "the hub cannot be reached (is this machine online?)"
HTTP_LIBRARIES = ("httpx", "requests", "urllib3", "httpcore")

FREE_LICENCES = (
    *("mit", "isc", "0bsd", "bsd", "bsd-2-clause", "bsd-3-clause", "apache-2.0", "zlib", "unlicense"),
    *("cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "mpl-2.0"),
    *("gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "agpl-3.0", "ecl-2.0", "afl-3.0"),
)
"""Licences, as the hub abbreviates them, that allow every use. Any other has to be accepted first."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ADDRESS = re.compile(
    r"hf:(?P<repository>[\w.-]+/[\w.-]+)(?P<folder>(/[\w.-]+)*)(@(?P<revision>[\w./-]+))?", re.ASCII
)


@dataclass(frozen=True)
class Address:
    """A repository on the hub.

    Attributes:
        repository: owner/name.
        folder: in the repository, in which the model lies; empty where it is the repository itself.
        revision: a commit, tag or branch.
    """

    repository: str
    folder: str = ""
    revision: str = DEFAULT_REVISION

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read hf:owner/name, hf:owner/name@revision or hf:owner/name/folder@revision.

        Raises:
            UnknownModelError: it is of another form.

        >>> Address.parse("hf:facebook/encodec_24khz@c1dbe2a").repository
        'facebook/encodec_24khz'
        """
        match = _ADDRESS.fullmatch(text.strip())
        if match is None or ".." in text:
            raise UnknownModelError(
                f"{text!r} is no address on the hub; write hf:owner/name or hf:owner/name@revision"
            )
        return cls(match["repository"], match["folder"].strip("/"), match["revision"] or DEFAULT_REVISION)

    def at(self, commit: str) -> "Address":
        """Return the same address at a commit."""
        return Address(self.repository, self.folder, commit)

    def within(self, name: str) -> str:
        """Return the path of a file in the repository."""
        return f"{self.folder}/{name}" if self.folder else name

    def __str__(self) -> str:
        folder = f"/{self.folder}" if self.folder else ""
        return f"{HUB_PREFIX}{self.repository}{folder}@{self.revision}"


@dataclass(frozen=True)
class Card:
    """What a repository says of itself.

    Attributes:
        config: the content of config.json.
        licence: as the hub abbreviates it; "unknown" where none is stated.
    """

    config: Mapping[str, Any]
    licence: str


def is_address(name: str) -> bool:
    """Return whether `name` is meant as an address on the hub."""
    return name.strip().startswith(HUB_PREFIX)


def cache_folder() -> Path:
    """Return the folder in which huggingface_hub keeps what it downloads, by its own rules."""
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.environ.get("HF_HOME") or caches / "huggingface").expanduser() / "hub"


def is_offline() -> bool:
    """Return whether the environment forbids the use of the network."""
    values = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value.upper() in ("1", "ON", "YES", "TRUE") for value in values)


def describe(text: str, kind: ModelKind | None = None) -> Model:
    """Describe the model at an address; downloads its config.json where that is not in the cache.

    Args:
        text: the address.
        kind: what it is wanted as; "tagger" or "generator" unless given.

    Raises:
        UnknownModelError: it is no address, there is no such repository or revision, or no class of models
            that is installed reads it.
        MissingWeightsError: huggingface_hub is not installed, or the hub cannot be reached.
    """
    address = resolve(text)
    card = _read_card(address)
    found = _class_of(address, card.config, kind)
    terms = None if card.licence in FREE_LICENCES else page(address)
    return Model(
        found.kind,
        str(address),
        found.data,
        card.licence,
        source=str(address),
        terms=terms,
        load=found.load,
        requires=found.requires,
        extra=found.extra,
    )


def page(address: Address) -> str:
    """Return the web page of a repository."""
    return f"https://huggingface.co/{address.repository}"


def resolve(text: str) -> Address:
    """Return the address at its commit, with config.json in the cache.

    The hub is asked where it can be, since a branch moves; the cache answers where it cannot.
    """
    address = Address.parse(text)
    commit = _cached_commit(address)
    if commit is not None and (is_offline() or commit == address.revision):
        return address.at(commit)
    return _resolve_online(address, _endpoint())


def pinned(source: str) -> str:
    """Return an address on the hub with the commit that the cache holds; as it is where it holds none."""
    address = Address.parse(source)
    commit = _cached_commit(address)
    return str(address) if commit is None else str(address.at(commit))


def cached_snapshot(address: Address) -> Path | None:
    """Return the folder of a model's files where the cache holds its weights; None where it does not."""
    commit = _cached_commit(address)
    if commit is None:
        return None
    folder = _snapshot_folder(address.at(commit)) / address.folder
    try:
        wanted = weight_paths(folder, str(address))
    except (InvalidWeightsError, OSError):
        return None
    return folder if all(path.is_file() for path in wanted) else None


def fetch(model: Model, on_message: Any = None) -> Path:
    """Return the folder of a model's files; download those that the cache lacks.

    Raises:
        InvalidWeightsError: the repository has no safetensors.
        MissingWeightsError: the hub cannot be reached, or refuses.
        FailedWriteError: the cache cannot be written.
    """
    address = Address.parse(str(model.source))
    cached = cached_snapshot(address)
    if cached is not None:
        return cached
    if is_offline():
        raise MissingWeightsError(
            f"{address} is not in the cache, and HF_HUB_OFFLINE forbids to download it; unset it once"
        )
    if not _is_reachable():
        raise MissingWeightsError(f"cannot get {address}: {UNREACHABLE}")
    # The catalogue's models have not been resolved before: their config.json may be missing.
    address = _resolve_online(address, _endpoint())
    with _translated(address):
        from huggingface_hub import HfApi

        info = HfApi(endpoint=_endpoint()).model_info(address.repository, revision=address.revision)
    every = [sibling.rfilename for sibling in info.siblings or ()]
    prefix = f"{address.folder}/" if address.folder else ""
    names = [name.removeprefix(prefix) for name in every if name.startswith(prefix)]
    # The weights come last: where they are, everything is.
    index = [name for name in names if name.endswith(INDEX_SUFFIX) and "/" not in name]
    others = [*index, *_matching(names, _class_of(address, _read_card(address).config, model.kind).files)]
    folder = _snapshot_folder(address) / address.folder
    for name in others:
        _download(address, address.within(name))
    try:
        weights = weight_files(names, folder, str(address))
    except InvalidWeightsError as error:
        converted = _find_converted(address)
        if converted is None:
            raise
        raise InvalidWeightsError(f"{error}; the hub's converter offers them as {converted}") from error
    for name in weights:
        if on_message is not None and not (folder / name).is_file():
            on_message(f"downloading {name} ({model.licence})")
        _download(address, address.within(name))
    return folder


def _find_converted(address: Address) -> Address | None:
    """Return the pull request in which the hub's converter offers a repository's weights, if any."""
    # Whatever goes wrong, the error that this would be a hint to is the one to report.
    with suppress(Exception):
        from huggingface_hub import HfApi

        for each in HfApi(endpoint=_endpoint()).get_repo_discussions(
            address.repository, author=CONVERTER, discussion_type="pull_request"
        ):
            if "safetensors" in each.title and each.status != "closed":
                return Address(address.repository, address.folder, f"refs/pr/{each.num}")
    return None


def _class_of(address: Address, config: Mapping[str, Any], kind: ModelKind | None) -> HubClass:
    """Return the installed class of models that a config.json names."""
    given = config.get("architectures") or config.get("_class_name")
    names = [str(name) for name in given] if isinstance(given, list) else [str(given)] if given else []
    wanted = f"{kind} " if kind else ""
    groups = {"tagger": (discovery.TAGGERS,), "generator": (discovery.GENERATORS,)}
    known: dict[str, HubClass] = {}
    for group in groups.get(str(kind), (discovery.TAGGERS, discovery.GENERATORS)):
        known |= {each.name: each for each in Installed(group, HubClass).values()}
    for name in names:
        if name in known:
            return known[name]
    if "auto_map" in config:
        raise UnknownModelError(
            f"{address} brings code of its own, which TagBox does not run; give a {wanted}of one of the "
            f"classes {', '.join(known) or '(none is installed)'}"
        )
    stated = " or ".join(names) or "no class is stated"
    raise UnknownModelError(
        f"no {wanted or 'model '}can be made of {address} ({stated}); it has to be one of "
        f"{', '.join(known) or 'those of a plug-in, and none is installed'}"
    )


def _read_card(address: Address) -> Card:
    folder = _snapshot_folder(address)
    config = read_config(folder / address.within(CONFIG), str(address))
    card = folder / CARD
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    return Card(config, _stated_licence(text))


def _stated_licence(card: str) -> str:
    """Return the licence that the header of a model's page states; its own name where it has one."""
    header = re.match(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", card, re.DOTALL)
    if header is None:
        return "unknown"
    fields = dict(re.findall(r"^(license|license_name):[ \t]*[\"']?([\w.+-]+)", header[1], re.MULTILINE))
    licence = str(fields.get("license", "unknown")).lower()
    return str(fields.get("license_name", licence)) if licence == "other" else licence


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    data = [name for name in names if not name.lower().endswith((*PICKLES, ".py"))]
    return [name for name in data if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def _repository_folder(address: Address) -> Path:
    return cache_folder() / f"{CACHED}{address.repository.replace('/', '--')}"


def _snapshot_folder(address: Address) -> Path:
    """Return the folder in which the cache keeps the files of a commit."""
    return _repository_folder(address) / "snapshots" / address.revision


def _cached_commit(address: Address) -> str | None:
    """Return the commit of an address whose config.json is in the cache."""
    commit = address.revision
    if _COMMIT.fullmatch(commit) is None:
        try:
            commit = (_repository_folder(address) / "refs" / commit).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return None
    path = _snapshot_folder(address.at(commit)) / address.within(CONFIG)
    return commit if _COMMIT.fullmatch(commit) and path.is_file() else None


@cache
def _resolve_online(address: Address, endpoint: str) -> Address:
    """Ask the hub for the commit, once in a process: a run must not begin with one and end with another."""
    try:
        path = _download(address, address.within(CONFIG))
    except MissingWeightsError:
        commit = _cached_commit(address)
        if commit is None:
            raise
        return address.at(commit)
    depth = len(Path(address.within(CONFIG)).parts) - 1
    pinned = address.at(path.parents[depth].name)
    _download(pinned, CARD, is_optional=True)
    return pinned


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _is_reachable() -> bool:
    """Return whether a connection to the hub can be made: huggingface_hub itself tries for half a minute."""
    parts = urlsplit(_endpoint())
    if parts.scheme in getproxies() or not parts.hostname:
        # How to get there is the proxy's affair.
        return True
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname, port), CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _download(address: Address, name: str, is_optional: bool = False) -> Path:
    """Download a file into the cache of huggingface_hub, or find it there; the path where it is kept."""
    with _translated(address, name, is_optional), _without_progress_bars():
        from huggingface_hub import hf_hub_download

        return Path(
            hf_hub_download(
                address.repository,
                name,
                revision=address.revision,
                cache_dir=cache_folder(),
                endpoint=_endpoint(),
                local_files_only=is_offline() or not _is_reachable(),
            )
        )
    return Path()


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Keep huggingface_hub from drawing progress bars over our own."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def _translated(address: Address, name: str = "", is_optional: bool = False) -> Iterator[None]:
    """Say in one line what keeps huggingface_hub from getting a file.

    Raises:
        UnknownModelError: there is no such repository or revision.
        MissingWeightsError: the hub refuses, or cannot be reached.
        InvalidWeightsError: the repository has no such file.
        FailedWriteError: the file cannot be kept.
    """
    try:
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingWeightsError(HUB_MISSING) from error
    try:
        yield
    except errors.GatedRepoError as error:
        raise MissingWeightsError(
            f"{address} is open only to those who accept its conditions; do so at {page(address)}, and log "
            "in with: hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UnknownModelError(
            f"there is no repository {address.repository} on the hub, or it is private; check its name, or "
            "log in with: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UnknownModelError(
            f"{address.repository} has no revision {address.revision}; see {page(address)}/commits"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        why = "HF_HUB_OFFLINE forbids it" if is_offline() else UNREACHABLE
        raise MissingWeightsError(f"cannot get {address}: {why}, and it is not in the cache") from error
    except errors.EntryNotFoundError as error:
        if not is_optional:
            raise InvalidWeightsError(f"{address} has no {name}, so it holds no model") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "?")
        hint = "; log in with: hf auth login" if status in (401, 403) else "; try again later"
        raise MissingWeightsError(f"cannot get {address}: the server answers {status}{hint}") from error
    except OSError as error:
        if error.errno is None:
            raise MissingWeightsError(_unreachable(address, error)) from error
        raise FailedWriteError(
            f"cannot keep {address} in {cache_folder()} ({error.strerror}); make room, or set HF_HOME"
        ) from error
    except Exception as error:
        # Errors of the HTTP library, which differs between versions of huggingface_hub.
        if not type(error).__module__.startswith(HTTP_LIBRARIES):
            raise
        raise MissingWeightsError(_unreachable(address, error)) from error


def _unreachable(address: Address, error: Exception) -> str:
    return (
        f"cannot get {address}: the connection broke ({type(error).__name__}); run it again to go on where "
        "it stopped"
    )
