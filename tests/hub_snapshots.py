"""Small random models in a cache of huggingface_hub, as a download leaves them."""

import os
import shutil
from pathlib import Path

from tagbox.weights.hub import Address


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
