"""Where weights are kept, and the way in: checked, read as data, written whole."""

import os
from pathlib import Path
from typing import Literal

from tagbox.errors import TagBoxError
from tagbox.weights import catalogue, shelf
from tagbox.weights.catalogue import Model

State = Literal["inside", "cached", "to be downloaded", "absent"]
PACKAGE = Path(__file__).resolve().parents[1]


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
        TagBoxError: there is no such model, it is not at hand, or its file is damaged; the message names
            the command that helps.
    """
    model = catalogue.find(kind, name, data)
    path = kept_at(model)
    if not path.is_file():
        raise _not_at_hand(model)
    if not model.inside:
        shelf.check(model, path)
    return path


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
        f"nobody publishes weights of {model.identifier}; if you have a checkpoint: "
        f"tagbox models import FILE --as {model.identifier}"
    )
