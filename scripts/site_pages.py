"""A hook of MkDocs: pages named in the navigation that this checkout lacks are left out of it."""

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Keep the entries of `nav` whose files are there."""
    config.nav = _present(config.nav, Path(config.docs_dir))
    return config


def _present(entries: list[dict[str, Any]], docs: Path) -> list[dict[str, Any]]:
    kept = []
    for entry in entries:
        ((title, target),) = entry.items()
        if isinstance(target, list):
            kept.append({title: _present(target, docs)})
        elif (docs / target).is_file():
            kept.append(entry)
    return kept
