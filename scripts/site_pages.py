"""Hooks of MkDocs: the pages and tables that the site has beyond docs/."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
AT_ROOT = {"NOTICE.md": "notices.md", "CONTRIBUTING.md": "contributing.md"}
"""Files at the repository's root to the site's pages."""
COMMANDS = "commands.md"
GALLERY = "gallery/index.html"


def on_config(config: Any) -> Any:
    """Keep the entries of `nav` whose files exist."""
    config.nav = _existing(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the files at the repository's root, the page of all commands, and the gallery's page."""
    from mkdocs.structure.files import File

    for name, page in AT_ROOT.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text.replace("](docs/", "](")))
    files.append(File.generated(config, COMMANDS, content=_script("command_pages").commands()))
    gallery = _script("gallery.page").render_page(Path(config.docs_dir) / "gallery")
    existing = files.get_file_from_path(GALLERY)
    if existing is not None:
        files.remove(existing)
    files.append(File.generated(config, GALLERY, content=gallery))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Link to the pages of files at the root, and put generated tables in their places."""
    up = "../" * page.file.src_uri.count("/")
    for name, target in {**AT_ROOT, "README.md": "index.md"}.items():
        markdown = markdown.replace(f"](../{up}{name})", f"]({up}{target})")
    return str(_script("command_pages").with_tables(markdown))


def _script(name: str) -> Any:
    # MkDocs loads this file by its path, so the repository's root is not on the import path.
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return import_module(f"scripts.{name}")


def _existing(entries: list[dict[str, Any]], docs: Path) -> list[dict[str, Any]]:
    kept = []
    for entry in entries:
        ((title, target),) = entry.items()
        if isinstance(target, list):
            kept.append({title: _existing(target, docs)})
        elif target in (*AT_ROOT.values(), COMMANDS, GALLERY) or (docs / target).is_file():
            kept.append(entry)
    return kept
