"""Where weights are kept, and the ways in and out: checked, read as data, whole or not at all."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tagbox.atomic_files import write_atomically
from tagbox.errors import TagBoxError
from tagbox.weights import cache_file, catalogue, verification
from tagbox.weights.catalogue import Model
from tagbox.weights.download import DownloadObserver, Patience, download, mirrored
from tagbox.weights.file_lock import locked

if TYPE_CHECKING:
    from torch import Tensor

State = Literal["inside", "cached", "to be downloaded", "absent"]
PACKAGE = Path(__file__).resolve().parents[1]


class Log:
    """A listener for programs: sentences go to the log, progress nowhere."""

    def arrived(self, done: int, total: int | None) -> None:
        """Nobody watches."""

    def say(self, text: str) -> None:
        """Log it."""
        logging.getLogger(__name__).warning(text)


def home() -> Path:
    """The folder of everything that TagBox keeps: TAGBOX_HOME, or the platform's folder for caches."""
    chosen = os.environ.get("TAGBOX_HOME")
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("tagbox"))


def kept_at(model: Model) -> Path:
    """Where the weights of `model` lie once they are at hand."""
    if model.inside:
        return PACKAGE / model.inside
    return home() / f"{model.kind}s" / f"{model.identifier}.safetensors"


def state(model: Model) -> State:
    """Where `model` is, by the names of files alone (`verify` reads them)."""
    if kept_at(model).is_file():
        return "inside" if model.inside else "cached"
    return "to be downloaded" if model.source else "absent"


def locate(kind: str, name: str, data: str | None = None) -> Path:
    """The verified safetensors file of a model that is at hand.

    Raises:
        TagBoxError: there is no such model, it is not at hand, or its file is damaged; the message names the
            command that helps.
    """
    model = catalogue.find(kind, name, data)
    path = kept_at(model)
    if not path.is_file():
        raise _not_at_hand(model)
    if not model.inside:
        cache_file.verify_cached(model, path)
    return path


def pull(
    model: Model,
    *,
    accept_license: bool = False,
    source: str | None = None,
    listener: DownloadObserver | None = None,
    patience: Patience | None = None,
) -> Path:
    """Download the published weights of `model`, unless they are at hand already.

    Args:
        accept_license: whether the user accepts the terms that `model` names, if it names any.
        source: another address than the published one, of the same file.
        listener: hears how it goes; the log, if not given.

    Returns:
        The verified safetensors file.

    Raises:
        TagBoxError: nobody publishes them, the licence is not accepted, or what comes is not what it should
            be; the cache is then as it was.
    """
    listener = listener or Log()
    if model.inside or (source is None and model.source is None):
        return locate(model.kind, model.name, model.data)
    with _alone(model, listener):
        # Asked under the lock: another process may just have brought it.
        if _is_good(model):
            return kept_at(model)
        _insist_on_licence(model, accept_license)
        url = source or mirrored(str(model.source))
        part = _part(model)
        weights, about = _fetch(model, url, part, listener, patience)
        path = _keep(model, weights, about, accepted=accept_license)
        part.unlink(missing_ok=True)
        return path


def import_file(model: Model, file: Path, *, listener: DownloadObserver | None = None) -> Path:
    """Keep a checkpoint that the user has as the weights of `model`; replaces what was kept before.

    Raises:
        TagBoxError: it is not this model's, or not the published file where that one is known for certain;
            the cache is then as it was.
    """
    listener = listener or Log()
    if model.inside:
        raise TagBoxError(f"{model.identifier} ships inside TagBox and cannot be replaced")
    if not file.is_file():
        raise TagBoxError(f"there is no file {file}; give a checkpoint (.pth, .pt, .tar or .safetensors)")
    weights, about = verification.load_verified(model, file, listener.say)
    with _alone(model, listener):
        return _keep(model, weights, about, accepted=False)


def verify(model: Model) -> Path:
    """Read the weights of `model` again and check all that we know of them.

    Raises:
        TagBoxError: they are not at hand, changed, not the published ones, or not this model's.
    """
    path = locate(model.kind, model.name, model.data)
    said = cache_file.about(path)
    blob = said.get("original_git_blob")
    if not model.inside and model.certain and model.git_blob and blob != model.git_blob:
        raise TagBoxError(
            f"the weights of {model.identifier} are not the published ones; pull them again after: "
            f"tagbox models remove {model.identifier}"
        )
    verification.check_shapes(model, verification.safetensors(path), str(path))
    return path


def remove(model: Model) -> Path:
    """Delete the weights of `model` from the cache, and what a broken download left of them.

    Raises:
        TagBoxError: they are not in the cache.
    """
    if model.inside:
        raise TagBoxError(f"{model.identifier} ships inside TagBox and cannot be removed")
    path, part = kept_at(model), _part(model)
    if not path.is_file() and not part.is_file():
        raise TagBoxError(f"{model.identifier} is not in the cache; nothing to remove")
    with _alone(model, Log()):
        for each in (path, part, _acceptance_at(model)):
            each.unlink(missing_ok=True)
    return path


def acceptance(model: Model) -> dict[str, Any] | None:
    """When and how the licence of the cached weights was accepted, if it had to be."""
    path = _acceptance_at(model)
    if not path.is_file():
        return None
    said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return said


def _fetch(
    model: Model, url: str, part: Path, listener: DownloadObserver, patience: Patience | None
) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    while True:
        resumed = part.is_file()
        download(url, part, listener, patience)
        try:
            return verification.load_verified(model, part, listener.say, called=url)
        except TagBoxError as error:
            part.unlink(missing_ok=True)
            if not resumed:
                raise
            # What an earlier run left may have been another file's beginning.
            listener.say(f"{error}; once more from the start")


def _keep(model: Model, weights: dict[str, "Tensor"], about: dict[str, str], accepted: bool) -> Path:
    path = kept_at(model)
    if accepted and model.terms:
        said = {
            "model": model.identifier,
            "licence": model.licence,
            "terms": model.terms,
            "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with write_atomically(_acceptance_at(model), force=True) as beside:
            beside.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    cache_file.write(path, weights, about)
    return path


def _acceptance_at(model: Model) -> Path:
    return kept_at(model).with_suffix(".licence.json")


def _part(model: Model) -> Path:
    return home() / "partial" / f"{model.identifier.replace('/', '-')}.part"


def _is_good(model: Model) -> bool:
    path = kept_at(model)
    if not path.is_file():
        return False
    try:
        cache_file.verify_cached(model, path)
    except TagBoxError:
        return False
    return True


def _insist_on_licence(model: Model, accepted: bool) -> None:
    if model.terms and not accepted:
        raise TagBoxError(
            f"{model.identifier} is under the {model.licence}, which covers what is made with it too; "
            f"read {model.terms} and, if you accept it, add --accept-license"
        )


@contextmanager
def _alone(model: Model, listener: DownloadObserver) -> Iterator[None]:
    """Nobody else touches `model` meanwhile, in this process or another."""
    lock = home() / "locks" / f"{model.identifier.replace('/', '-')}.lock"
    with ExitStack() as held:
        try:
            held.enter_context(
                locked(
                    lock, lambda: listener.say(f"waiting for another program to finish {model.identifier}")
                )
            )
            _part(model).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TagBoxError(
                f"cannot keep weights in {home()} ({error.strerror}); "
                "set TAGBOX_HOME to a folder that you can write"
            ) from error
        yield


def _not_at_hand(model: Model) -> TagBoxError:
    if model.inside:
        return TagBoxError(
            f"{model.identifier} should ship inside TagBox but is not there; install TagBox again"
        )
    if model.source:
        licence = " --accept-license" if model.terms else ""
        return TagBoxError(
            f"the weights of {model.identifier} are not here; get them with: "
            f"tagbox models pull {model.identifier}{licence}"
        )
    return TagBoxError(
        f"nobody publishes weights of {model.identifier} that we know; if you have a checkpoint: "
        f"tagbox models import FILE --as {model.identifier}"
    )
