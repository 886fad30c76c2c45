"""Hooks of MkDocs: what the site has beyond docs/, and what it does without in an unfinished checkout."""

from pathlib import Path
from typing import Any

NOTICES = "NOTICE.md"
PLACE = "notices.md"


def on_config(config: Any) -> Any:
    """Keep the entries of `nav` whose files are there."""
    config.nav = _present(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Any, config: Any) -> Any:
    """Give the notices, which lie at the repository's root, a page of their own."""
    from mkdocs.structure.files import File

    text = (Path(config.docs_dir).parent / NOTICES).read_text(encoding="utf-8")
    files.append(File.generated(config, PLACE, content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to the notices lead to that page."""
    return markdown.replace(f"](../{NOTICES})", f"]({PLACE})")


def _present(entries: list[dict[str, Any]], docs: Path) -> list[dict[str, Any]]:
    kept = []
    for entry in entries:
        ((title, target),) = entry.items()
        if isinstance(target, list):
            kept.append({title: _present(target, docs)})
        elif target == PLACE or (docs / target).is_file():
            kept.append(entry)
    return kept
