"""Load networks of the library transformers from a folder of files, as they are on the hub."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tagbox.audio.validation import fingerprint
from tagbox.errors import InvalidWeightsError
from tagbox.memory import is_out_of_memory
from tagbox.snapshots import how_to_replace
from tagbox.taggers.tagger import Tagger


def load_network(class_name: str, folder: Path) -> Any:
    """Load a network of the class `class_name` in float32, frozen, from its config.json and safetensors.

    Raises:
        InvalidWeightsError: the files are damaged, or lack weights of the network.
    """
    import transformers

    network_class = getattr(transformers, class_name)
    with translated_errors(folder, class_name), _quiet():
        network, report = network_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise InvalidWeightsError(
            f"{folder} lacks {len(missing)} weights of {class_name}, {missing[0]} for one; "
            f"{how_to_replace(folder)}"
        )
    return frozen(network)


def load_extractor(class_name: str, folder: Path) -> Any:
    """Load the settings of the library's own front end, of the class `class_name`.

    Raises:
        InvalidWeightsError: the files are damaged.
    """
    import transformers

    with translated_errors(folder, class_name), _quiet():
        return getattr(transformers, class_name).from_pretrained(folder, local_files_only=True)


def tokenise(folder: Path, texts: Sequence[str]) -> Mapping[str, Tensor]:
    """Turn `texts` into what text networks take, by the tokeniser in `folder`.

    Raises:
        InvalidWeightsError: the files are damaged.
    """
    import transformers

    with translated_errors(folder, "tokeniser"), _quiet():
        # Left open, the library would ask on the terminal whether to run the repository's code.
        tokeniser = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        tokens: Mapping[str, Tensor] = tokeniser(
            list(texts), padding=True, truncation=True, return_tensors="pt"
        )
    return {name: tokens[name] for name in ("input_ids", "attention_mask")}


def weights_hash(folder: Path) -> str:
    """Return the SHA-256 of a folder's weights; of several files, those of all, joined."""
    return "+".join(fingerprint(path) for path in sorted(folder.glob("*.safetensors")))


def tried(make: Callable[[], Tagger], folder: Path, class_name: str) -> Tagger:
    """Make a tagger and have it hear a window: settings that do not fit the network fail here, not in a run.

    Raises:
        InvalidWeightsError: they do not fit.
    """
    with translated_errors(folder, class_name), torch.no_grad():
        tagger = make()
        tagger.logits(torch.zeros(1, tagger.window))
    return tagger


@contextmanager
def translated_errors(folder: Path, what: str) -> Iterator[None]:
    """Say in one line that files cannot be read, whatever the library raises.

    Raises:
        InvalidWeightsError: they cannot.
    """
    try:
        yield
    except InvalidWeightsError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise InvalidWeightsError(
            f"{folder} cannot be loaded as {what} ({type(error).__name__}: {reason}); "
            f"{how_to_replace(folder)}, or give another repository"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library from drawing progress bars and from reports: what is missing is an error of ours."""
    from transformers.utils import logging as library

    level = library.get_verbosity()
    hide: Callable[[], None] = library.disable_progress_bar
    show: Callable[[], None] = library.enable_progress_bar
    had_bars = library.is_progress_bar_enabled()
    library.set_verbosity(logging.CRITICAL)
    hide()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="transformers")
            yield
    finally:
        library.set_verbosity(level)
        if had_bars:
            show()


def frozen(network: nn.Module) -> nn.Module:
    """Return `network` in evaluation mode, with frozen weights."""
    return network.eval().requires_grad_(False)
