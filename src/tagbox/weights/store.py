"""Keep weights in a cache: download, import, locate, verify and remove them, each whole or not at all."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tagbox.atomic_files import write_json
from tagbox.errors import FailedWriteError, InvalidWeightsError, MissingWeightsError, TagBoxError
from tagbox.plugins.descriptions import Model, ModelKind
from tagbox.plugins.discovery import package_folder
from tagbox.snapshots import read_snapshot
from tagbox.taggers.names import TaggerName
from tagbox.weights import cache_file, catalogue, hub, verification
from tagbox.weights.download import DownloadObserver, RetryPolicy, download, mirrored
from tagbox.weights.file_lock import hold_lock

if TYPE_CHECKING:
    from torch import Tensor

Availability = Literal["inside", "cached", "to be downloaded", "absent"]


class LoggingObserver:
    """An observer for programs: messages go to the log, and progress is ignored."""

    def on_progress(self, done: int, total: int | None) -> None:
        """Ignore progress."""

    def on_message(self, text: str) -> None:
        """Log a message."""
        logging.getLogger(__name__).warning(text)


def home() -> Path:
    """Return the folder of everything that TagBox keeps: TAGBOX_HOME, or the platform's folder for caches."""
    chosen = os.environ.get("TAGBOX_HOME")
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("tagbox"))


def describe(kind: ModelKind, name: str, data: str | None = None) -> Model:
    """Return the model called `name`, which may be an address on the hub (see `tagbox.weights.hub`).

    Args:
        kind: "tagger" or "generator".
        name: of the model, or its address.
        data: a tagger's vocabulary; of no account for an address.

    Raises:
        UnknownModelError: there is no such model.
        MissingWeightsError: it is on the hub, which cannot be reached.
    """
    return hub.describe(name, kind) if hub.is_address(name) else catalogue.find_model(kind, name, data)


def describe_identifier(identifier: str) -> Model:
    """Return the model with an identifier such as mtat/fcn or jukebox, or at an address on the hub.

    Raises:
        UnknownModelError: there is no such model.
        MissingWeightsError: it is on the hub, which cannot be reached.
    """
    if hub.is_address(identifier):
        return hub.describe(identifier)
    return catalogue.model_by_identifier(identifier)


def vocabulary_of(tagger: str) -> str:
    """Return the name of the vocabulary of a tagger, given as data/architecture or as its address.

    Raises:
        UnknownModelError: it is neither.
    """
    if hub.is_address(tagger):
        return str(hub.describe(tagger, "tagger").data)
    return TaggerName.parse(tagger).data


def weights_path(model: Model) -> Path:
    """Return the path of the weights of `model`, whether they are there or not: a file, or a folder."""
    if model.inside:
        return package_folder(model.package) / model.inside
    if is_on_hub(model):
        address = hub.Address.parse(str(model.source))
        return hub.cached_snapshot(address) or hub.cache_folder()
    return home() / f"{model.kind}s" / f"{model.identifier}.safetensors"


def availability(model: Model) -> Availability:
    """Tell where the weights of `model` are, by file names alone; `verify` reads the files."""
    if model.weightless:
        return "inside"
    if is_on_hub(model):
        cached = hub.cached_snapshot(hub.Address.parse(str(model.source)))
        return "to be downloaded" if cached is None else "cached"
    if weights_path(model).is_file():
        return "inside" if model.inside else "cached"
    return "to be downloaded" if model.source else "absent"


def is_here(model: Model) -> bool:
    """Return whether `model` can be loaded without the network."""
    return availability(model) in ("inside", "cached")


def is_on_hub(model: Model) -> bool:
    """Return whether the weights of `model` come from a repository on the hub."""
    return model.source is not None and hub.is_address(model.source)


def locate(kind: str, name: str, data: str | None = None) -> Path:
    """Return the path of the weights of the model of this kind, name and data (see `locate_model`)."""
    return locate_model(catalogue.find_model(kind, name, data))


def locate_model(model: Model) -> Path:
    """Return the path of a model's weights, after verifying them: a safetensors file, or a folder of files.

    What is named by its address on the hub is downloaded, if its licence allows every use.

    Raises:
        MissingWeightsError: its weights are not on this machine; the message names the command that gets
            them.
        InvalidWeightsError: its file is damaged.
        TagBoxError: it has a licence that was not accepted.
    """
    if model.weightless:
        raise MissingWeightsError(f"{model.identifier} computes by rule and has no weights")
    if is_on_hub(model):
        if licence_acceptance(model) is None:
            _require_acceptance(model, accepted=False)
        if availability(model) == "cached" or hub.is_address(model.name):
            return hub.fetch(model)
        raise _missing_weights(model)
    path = weights_path(model)
    if not path.is_file():
        raise _missing_weights(model)
    if not model.inside:
        cache_file.verify_cached(model, path)
    return path


def pull(
    model: Model,
    *,
    accept_license: bool = False,
    source: str | None = None,
    observer: DownloadObserver | None = None,
    retry_policy: RetryPolicy | None = None,
) -> Path:
    """Download the published weights of `model`, unless they are on this machine already.

    Args:
        model: whose weights.
        accept_license: whether the user accepts the terms that `model` names, if it names any.
        source: another address than the published one, of the same file.
        observer: receives progress and messages; the log unless given.
        retry_policy: when to give up.

    Returns:
        the path of the verified safetensors file.

    Raises:
        MissingWeightsError: nobody publishes the weights, or they cannot be downloaded.
        InvalidWeightsError: what was downloaded is not the published file; the cache is then unchanged.
        TagBoxError: the licence is not accepted.
    """
    observer = observer or LoggingObserver()
    if model.inside or model.weightless or (source is None and model.source is None):
        return locate_model(model)
    if is_on_hub(model):
        _require_acceptance(model, accept_license or licence_acceptance(model) is not None)
        path = hub.fetch(model, observer.on_message)
        if accept_license:
            _keep_acceptance(model)
        return path
    with _exclusive(model, observer):
        # Checked under the lock: another process may just have downloaded them.
        if _is_valid(model):
            return weights_path(model)
        _require_acceptance(model, accept_license)
        url = source or mirrored(str(model.source))
        weights, metadata = _download_verified(model, url, observer, retry_policy)
        path = _keep(model, weights, metadata, accepted=accept_license)
        _part_path(model).unlink(missing_ok=True)
        return path


def import_file(model: Model, file: Path, *, observer: DownloadObserver | None = None) -> Path:
    """Keep a checkpoint of the user's as the weights of `model`; replace those that were kept before.

    Raises:
        MissingWeightsError: there is no such file.
        InvalidWeightsError: the file does not hold this model's weights, or is not the published file where
            its checksum is certain; the cache is then unchanged.
        TagBoxError: the model ships with TagBox.
    """
    observer = observer or LoggingObserver()
    if model.inside:
        raise TagBoxError(f"{model.identifier} ships inside TagBox and cannot be replaced")
    if is_on_hub(model) or model.weightless:
        raise TagBoxError(f"{model.identifier} takes no file; `tagbox models` says where its weights are")
    if not file.is_file():
        raise MissingWeightsError(
            f"there is no file {file}; give a checkpoint (.pth, .pt, .tar or .safetensors)"
        )
    weights, metadata = verification.load_verified(model, file, observer.on_message)
    with _exclusive(model, observer):
        return _keep(model, weights, metadata, accepted=False)


def verify(model: Model) -> Path:
    """Read the weights of `model` again and check everything that is known of them; return their path.

    Raises:
        MissingWeightsError: they are not on this machine.
        InvalidWeightsError: they changed, are not the published ones, or not this model's.
    """
    if model.weightless:
        return weights_path(model)
    path = locate_model(model)
    if path.is_dir():
        verification.check_weights(model, read_snapshot(path, model.identifier).weights, str(path))
        return path
    blob = cache_file.read_metadata(path).get("original_git_blob")
    if not model.inside and model.certain and model.git_blob and blob != model.git_blob:
        raise InvalidWeightsError(
            f"the weights of {model.identifier} are not the published ones; pull them again after: "
            f"tagbox models remove {model.identifier}"
        )
    verification.check_weights(model, verification.load_safetensors(path), str(path))
    return path


def remove(model: Model) -> Path:
    """Delete the weights of `model` from the cache, and what a broken download left of them.

    Raises:
        MissingWeightsError: they are not in the cache.
        TagBoxError: the model ships with TagBox.
    """
    if model.inside:
        raise TagBoxError(f"{model.identifier} ships inside TagBox and cannot be removed")
    if is_on_hub(model):
        repository = hub.Address.parse(str(model.source)).repository
        raise TagBoxError(
            f"{model.identifier} is kept by huggingface_hub for all programs; remove it with: "
            f"hf cache rm model/{repository}"
        )
    path, part = weights_path(model), _part_path(model)
    if not path.is_file() and not part.is_file():
        raise MissingWeightsError(f"{model.identifier} is not in the cache; nothing to remove")
    with _exclusive(model, LoggingObserver()):
        for each in (path, part, _acceptance_path(model)):
            each.unlink(missing_ok=True)
    return path


def licence_acceptance(model: Model) -> dict[str, Any] | None:
    """Return when and for which terms the licence of the cached weights was accepted, if it had to be."""
    path = _acceptance_path(model)
    if not path.is_file():
        return None
    try:
        acceptance = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError):
        return None
    return acceptance if isinstance(acceptance, dict) else None


def _download_verified(
    model: Model, url: str, observer: DownloadObserver, retry_policy: RetryPolicy | None
) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    """Download and verify weights; return them and the metadata to keep with them."""
    part = _part_path(model)
    while True:
        resumed = part.is_file()
        download(url, part, observer, retry_policy)
        try:
            return verification.load_verified(model, part, observer.on_message, subject=url)
        except InvalidWeightsError as error:
            part.unlink(missing_ok=True)
            if not resumed:
                raise
            # What an earlier run left may have been the beginning of another file.
            observer.on_message(f"{error}; once more from the start")


def _keep(model: Model, weights: dict[str, "Tensor"], metadata: dict[str, str], accepted: bool) -> Path:
    path = weights_path(model)
    if accepted:
        _keep_acceptance(model)
    cache_file.write_cache_file(path, weights, metadata)
    return path


def _keep_acceptance(model: Model) -> None:
    """Note that a licence was accepted, where it had to be."""
    if model.terms:
        acceptance = {
            "model": model.identifier,
            "licence": model.licence,
            "terms": model.terms,
            "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_json(acceptance, _acceptance_path(model), force=True)


def _acceptance_path(model: Model) -> Path:
    if is_on_hub(model):
        # A licence is that of a repository, whatever its revision, and may be another later.
        repository = hub.Address.parse(str(model.source)).repository.replace("/", "--")
        licence = "".join(letter if letter.isalnum() else "-" for letter in model.licence)
        return home() / "hub" / f"{repository}--{licence}.licence.json"
    return weights_path(model).with_suffix(".licence.json")


def _part_path(model: Model) -> Path:
    """Return the path of an unfinished download."""
    return home() / "partial" / f"{model.identifier.replace('/', '-')}.part"


def _is_valid(model: Model) -> bool:
    path = weights_path(model)
    if not path.is_file():
        return False
    try:
        cache_file.verify_cached(model, path)
    except InvalidWeightsError:
        return False
    return True


def _require_acceptance(model: Model, accepted: bool) -> None:
    if model.terms and not accepted:
        if is_on_hub(model):
            licence = "no stated licence" if model.licence == "unknown" else f"the licence {model.licence}"
            raise TagBoxError(
                f"{model.identifier} is under {licence}, which may restrict its use; read {model.terms} and, "
                f"if you accept it: tagbox models pull {model.identifier} --accept-license"
            )
        raise TagBoxError(
            f"{model.identifier} is under the {model.licence}, which covers what is made with it too; "
            f"read {model.terms} and, if you accept it, add --accept-license"
        )


@contextmanager
def _exclusive(model: Model, observer: DownloadObserver) -> Iterator[None]:
    """Keep every other process and thread from changing the weights of `model` during the block."""
    lock = home() / "locks" / f"{model.identifier.replace('/', '-')}.lock"
    waiting = f"waiting for another program to finish {model.identifier}"
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(lock, lambda: observer.on_message(waiting)))
            _part_path(model).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FailedWriteError(
                f"cannot keep weights in {home()} ({error.strerror}); "
                "set TAGBOX_HOME to a folder that you can write"
            ) from error
        yield


def _missing_weights(model: Model) -> MissingWeightsError:
    """Return the error for weights that are not on this machine, with the command that gets them."""
    if model.inside:
        return MissingWeightsError(
            f"{model.identifier} should ship inside TagBox but is not there; install TagBox again"
        )
    if model.source:
        licence = " --accept-license" if model.terms else ""
        return MissingWeightsError(
            f"the weights of {model.identifier} are not here; get them with: "
            f"tagbox models pull {model.identifier}{licence}"
        )
    return MissingWeightsError(
        f"nobody publishes weights of {model.identifier} that we know; if you have a checkpoint: "
        f"tagbox models import FILE --as {model.identifier}"
    )
