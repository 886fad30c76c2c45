"""TagBox: steer frozen music generators with frozen music taggers.

Nothing heavy is imported here: ``tagbox --help`` has to answer at once, and torch alone takes over a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagbox.api import separate, separate_file, transfer
    from tagbox.evaluation.evaluate import evaluate
    from tagbox.models import load_tagger
    from tagbox.projects import open_project as open
    from tagbox.results import Separation, Transfer
    from tagbox.tagging import tag

__version__ = "0.2.0"

# What is imported from where once it is asked for.
_LAZY = {
    "Separation": ("tagbox.results", "Separation"),
    "Transfer": ("tagbox.results", "Transfer"),
    "evaluate": ("tagbox.evaluation.evaluate", "evaluate"),
    "load_tagger": ("tagbox.models", "load_tagger"),
    "open": ("tagbox.projects", "open_project"),
    "separate": ("tagbox.api", "separate"),
    "separate_file": ("tagbox.api", "separate_file"),
    "tag": ("tagbox.tagging", "tag"),
    "transfer": ("tagbox.api", "transfer"),
}

__all__ = [
    "Separation",
    "Transfer",
    "__version__",
    "evaluate",
    "load_tagger",
    "open",
    "separate",
    "separate_file",
    "tag",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
