"""Caches of huggingface_hub for tests, and small random models in them, as a download leaves them."""

import os
import shutil
from pathlib import Path

import pytest

from tagbox.weights.hub import Address


def use_caches(monkeypatch: pytest.MonkeyPatch, hub: Path, tagbox: Path) -> None:
    """Have huggingface_hub keep its files under `hub` (HF_HOME), TagBox under `tagbox`; no network."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(hub))
    monkeypatch.setenv("TAGBOX_HOME", str(tagbox))


def keep_in_cache(saved: Path, source: str) -> Path:
    """Copy the folder of a saved model to where the cache under HF_HOME keeps `source`, and return it.

    Args:
        saved: config.json and weights, as the libraries' `save_pretrained` writes them.
        source: hf:owner/name[/folder]@commit.
    """
    address = Address.parse(source)
    repository = Path(os.environ["HF_HOME"]) / "hub" / f"models--{address.repository.replace('/', '--')}"
    folder = repository / "snapshots" / address.revision / address.folder
    shutil.copytree(saved, folder, dirs_exist_ok=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(address.revision)
    return folder
