"""Recordings: files, arrays, sample rates, spectra and segments.

The names that programs use are imported on first access, because importing PyTorch takes over a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagbox.audio.files import Audio, read, write
    from tagbox.audio.resampling import ratio, resample, to_mono
    from tagbox.audio.validation import fingerprint

_LAZY = {
    "Audio": "tagbox.audio.files",
    "fingerprint": "tagbox.audio.validation",
    "ratio": "tagbox.audio.resampling",
    "read": "tagbox.audio.files",
    "resample": "tagbox.audio.resampling",
    "to_mono": "tagbox.audio.resampling",
    "write": "tagbox.audio.files",
}

__all__ = ["Audio", "fingerprint", "ratio", "read", "resample", "to_mono", "write"]


def __getattr__(name: str) -> Any:
    """Import `name` from its module on first access (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
