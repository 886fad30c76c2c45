"""TagBox: steer frozen music generators with frozen music taggers.

Nothing heavy is imported here: ``tagbox --help`` has to answer at once, and torch alone takes over a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagbox.evaluation.evaluate import evaluate
    from tagbox.hearing import tag
    from tagbox.results import Separation, Transfer
    from tagbox.separation import separate, separate_file, transfer
    from tagbox.taggers.registry import load as load_tagger

__version__ = "0.1.0"

# What is imported from where once it is asked for.
_LAZY = {
    "Separation": ("tagbox.results", "Separation"),
    "Transfer": ("tagbox.results", "Transfer"),
    "evaluate": ("tagbox.evaluation.evaluate", "evaluate"),
    "load_tagger": ("tagbox.taggers.registry", "load"),
    "separate": ("tagbox.separation", "separate"),
    "separate_file": ("tagbox.separation", "separate_file"),
    "tag": ("tagbox.hearing", "tag"),
    "transfer": ("tagbox.separation", "transfer"),
}

__all__ = [
    "Separation",
    "Transfer",
    "__version__",
    "evaluate",
    "load_tagger",
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
