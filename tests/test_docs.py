"""The documentation is true: links, commands, examples, figures, and the files that it names."""

import ast
import contextlib
import csv
import html.parser
import io
import json
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tagbox.plugins import HubClass, Model, discovery

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src/tagbox"
PAGES = [
    *(ROOT / page for page in ("README.md", "NOTICE.md", "CONTRIBUTING.md")),
    *sorted(DOCS.rglob("*.md")),
]
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
SHELL = ("", "sh", "bash", "console")

NOT_RUN = "# Not run in the tests: "
"""First line of an example that is not run; the reason follows."""

RUN_ELSEWHERE = ("extending.md", "tags.md")
"""Pages whose examples have a test of their own, here or in test_tags.py."""

EXAMPLE_SECONDS = 4


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of `page` in these languages ("" is none)."""
    return [text for language, text in FENCE.findall(page.read_text()) if language in languages]


def prose(page: Path) -> str:
    """`page` without its code."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """The fragments by which the headings of a page can be linked, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {slug(heading) for heading in headings}


def slug(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


class Links(html.parser.HTMLParser):
    """The links of a page of HTML, what it loads, and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value for key, value in attrs if value is not None}
        self.ids.update(given[key] for key in ("id", "name") if key in given)
        self.targets += [given[key] for key in ("href", "src") if key in given]
        if tag in ("script", "img", "audio", "source", "iframe") and "src" in given:
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "shortcut icon", "icon", "preload"):
            self.loaded.append(given.get("href", ""))


def read_html(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text())
    return links


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose(page)):
        parts = urlsplit(target)
        if parts.scheme:
            continue
        file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if not file.exists() or not file.is_relative_to(ROOT):
            broken.append(target)
        elif parts.fragment:
            known = anchors(file) if file.suffix == ".md" else read_html(file).ids
            if parts.fragment not in known:
                broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_placeholders_are_left(page: Path) -> None:
    assert [line for line in page.read_text().splitlines() if "@@" in line or "TODO" in line] == []


@pytest.fixture(scope="module")
def program() -> Any:
    import typer

    from tagbox.cli import app

    return typer.main.get_command(app)


def command_lines(page: Path) -> Iterator[str]:
    """Every `tagbox ...` in the blocks of `page` that are for a shell."""
    for block in blocks(page, *SHELL):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            plain = line.removeprefix("$ ").strip()
            plain = re.sub(r"^([A-Z_]+=\S* )*(\.venv/bin/|python3? -m )?(?=tagbox )", "", plain)
            if plain.startswith("tagbox "):
                yield plain


def parse(command: Any, line: str) -> None:
    """Let the program parse `line` as a shell would hand it over, without running anything."""
    words, context = shlex.split(line, comments=True)[1:], None
    while True:
        context = type(command).context_class(command, info_name=command.name, parent=context)
        inner = getattr(command, "commands", {})
        at = next((i for i, word in enumerate(words) if not word.startswith("-")), len(words))
        if not inner:
            command.parse_args(context, words)
            return
        # Groups can be called themselves, too: what stands before a command is the group's.
        command.make_parser(context).parse_args(words[:at])
        if at == len(words):
            return
        assert words[at] in inner, f"there is no command {words[at]!r}"
        command, words = inner[words[at]], words[at + 1 :]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_parse(page: Path, program: Any) -> None:
    wrong = []
    for line in command_lines(page):
        try:
            parse(program, line)
        except Exception as error:
            wrong.append((line, repr(error)))
    assert wrong == []


def test_these_tests_find_what_does_not_exist(program: Any) -> None:
    parse(program, "tagbox separate song.mp3 --tags violin -o out")
    parse(program, "tagbox models --json")
    for bad in (
        "tagbox separat x",
        "tagbox tag song.mp3 --topp 3",
        "tagbox models push x",
        "tagbox separate",
    ):
        with pytest.raises(Exception, match=r"."):
            parse(program, bad)
    assert unknown_words(program, "tagbox models pull --accept-license") == []
    assert unknown_words(program, "tagbox models push") == ["push"]
    assert unknown_words(program, "tagbox separate FILE --tagz WORD") == ["--tagz"]
    assert importable("tagbox.presets.PRESETS") and not importable("tagbox.presets.PRESET")
    assert any(list(command_lines(page)) for page in PAGES)


def spans(page: Path) -> set[str]:
    """The words in `page` that are set as code, between its blocks of code."""
    return {" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCE.sub("", page.read_text()))}


def unknown_words(command: Any, line: str) -> list[str]:
    """Commands and options that do not exist in a command line, which may lack required arguments."""
    words, known = shlex.split(line.replace("...", ""))[1:], {"--help"}
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if words and getattr(command, "commands", {}) and not words[0].startswith("-") and words[0].islower():
        return words[:1]
    known |= {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    return [word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in known]


@pytest.fixture(scope="module")
def options(program: Any) -> set[str]:
    """Every option of the program, and of the scripts and benchmarks beside it."""
    from scripts.command_pages import walk

    known = {"--help", "--install-completion", "--show-completion", "--version"}
    known |= {option for command, _ in walk(program) for param in command.params for option in param.opts}
    for folder in ("scripts", "benchmarks", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            known |= set(re.findall(r"[\"'](--[a-z][a-z-]*)[\"']", path.read_text()))
    return known


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_names_in_sentences_exist(page: Path, program: Any, options: set[str]) -> None:
    """Commands, options, targets of make, modules, attributes and files that are set as code."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for block in blocks(page, *SHELL) for line in block.splitlines()]
    wrong: list[object] = []
    for text in (*spans(page), *lines):
        if text.startswith("tagbox ") and text not in lines:
            wrong += [(text, word) for word in unknown_words(program, text)]
        elif re.match(r"--[a-z]", text) and re.split(r"[ =]", text)[0] not in options:
            wrong.append(text)
        elif target := re.match(r"make ([a-z-]+)", text):
            wrong += [text] * (target[1] not in targets)
        elif module := re.search(r"python3? -m ((?:benchmarks|scripts)[\w.]*)", text):
            place = ROOT / module[1].replace(".", "/")
            wrong += [text] * (not place.is_dir() and not place.with_suffix(".py").is_file())
        elif re.fullmatch(r"tagbox(\.\w+)+", text):
            wrong += [text] * (not importable(text))
        elif re.fullmatch(r"[\w./-]+/[\w.-]+\.(py|toml|ipynb|txt)", text):
            wrong += [text] * (not any((folder / text).exists() for folder in (ROOT, PACKAGE)))
    assert wrong == []


def importable(dotted: str) -> bool:
    """Whether `dotted` is a module, or an attribute of one."""
    with contextlib.suppress(ImportError, AttributeError):
        pkgutil.resolve_name(dotted)
        return True
    owner, _, attribute = dotted.rpartition(".")
    with contextlib.suppress(ImportError, AttributeError):
        # A field of a dataclass without a value is in its class's annotations only.
        return attribute in getattr(pkgutil.resolve_name(owner), "__annotations__", {})
    return False


def test_the_python_page_has_everything_public() -> None:
    import tagbox

    named = spans(DOCS / "python.md")
    assert [each for each in tagbox.__all__ if f"tagbox.{each}" not in named] == []


def test_presets_and_limits_agree_with_the_program() -> None:
    from tagbox.presets import PRESETS
    from tagbox.tags.vocabularies import EXCLUSIVE, TAGS

    page = (DOCS / "presets.md").read_text()
    advice = page.split("## Which to take")[1].split("```")[0]
    texts = dict(re.findall(r"^- \*\*`([\w+-]+)`\*\*(.*?)(?=^- |\Z)", advice, re.MULTILINE | re.DOTALL))
    assert set(texts) == set(PRESETS)
    counts = {preset: re.search(r"(\d+)\s+factorisations", text) for preset, text in texts.items()}
    told = {preset: int(count[1]) for preset, count in counts.items() if count}
    assert told == {
        preset: PRESETS[preset].settings.factorisations for preset in ("default", "best", "components")
    }
    limits = " ".join((DOCS / "limits.md").read_text().split())
    numbers = re.search(r"knows (\d+) classes of instruments and voices, and (\w+) families", limits)
    classes, every = len(EXCLUSIVE["rendered"]), len(TAGS["rendered"])
    assert numbers and int(numbers[1]) == classes and {"ten": 10}[numbers[2]] == every - classes


# Figures


def marked_tables(kind: str) -> list[tuple[Path, str, list[list[str]]]]:
    """Tables below a comment such as ``<!-- figures: FOLDER -->``: page, what it names, rows and head."""
    found = []
    for page in PAGES:
        for match in re.finditer(rf"<!-- {kind}: (\S+) -->\n\n((?:\|.*\n)+)", page.read_text()):
            lines = match[2].splitlines()
            rows = [[plain(cell) for cell in line.strip("|").split("|")] for line in lines]
            found.append((page, match[1], [rows[0], *rows[2:]]))
    return found


def plain(cell: str) -> str:
    return re.sub(r"[*`]", "", cell).strip()


def numbers(cell: str) -> list[float]:
    return [float(each) for each in re.findall(r"[+-]?\d+(?:\.\d+)?", cell)]


def results(folder: str) -> dict[tuple[str, str], dict[str, str]]:
    with (ROOT / folder / "table.csv").open() as file:
        return {(row["source"], row["method"]): row for row in csv.DictReader(file)}


COLUMNS = {
    "SI-SDR improvement": ("si_sdri", "si_sdri_low", "si_sdri_high"),
    "of the residual": ("residual_si_sdri",),
    "SDR improvement": ("sdri",),
    "heard": ("heard_after",),
}


def test_figures_of_evaluation_are_the_committed_ones() -> None:
    tables = marked_tables("figures")
    assert len(tables) == 3
    for _, folder, (head, *rows) in tables:
        committed = results(folder)
        for method, *cells in rows:
            row = committed["all", method]
            for title, cell in zip(head[1:], cells, strict=True):
                digits = 2 if title == "heard" else 1
                for figure, column in zip(numbers(cell), COLUMNS[title], strict=False):
                    assert figure == round(float(row[column]), digits), (folder, method, title)


def test_figures_of_sources_are_the_committed_ones() -> None:
    tables = marked_tables("sources")
    assert tables
    for _, folder, (head, *rows) in tables:
        committed = results(folder)
        for method, *cells in rows:
            for source, cell in zip(head[1:], cells, strict=True):
                for figure in numbers(cell):
                    assert figure == round(float(committed[source, method]["si_sdri"]), 1), (method, source)


def test_figures_of_speed_are_the_committed_ones() -> None:
    tables = marked_tables("loops")
    assert len(tables) == 2
    for _, path, (_, *rows) in tables:
        loops = {loop["who"]: loop for loop in json.loads((ROOT / path).read_text())["figures"]["loops"]}
        published = loops["published"]
        assert [row[0] for row in rows] == list(loops)
        for who, step, faster, cpu, peak, relative in rows:
            loop = loops[who]
            assert float(step) == float(f"{loop['step']:.3g}")
            assert numbers(faster) == [round(published["step"] / loop["step"], 1)]
            assert float(cpu) == round(loop["cpu"], 1)
            assert float(peak) == round(loop["peak"], 2)
            assert float(relative) == round(loop["peak"] / published["peak"], 2)


def test_plots_of_the_docs_come_from_the_script_and_are_small() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed; it is in the extra plot")
    from scripts.figures import FIGURES

    drawn = {f"how-it-works-{figure}.png" for figure in FIGURES}
    assert drawn == {path.name for path in (DOCS / "images").glob("how-it-works-*.png")}
    page = (DOCS / "how-it-works.md").read_text()
    assert drawn == set(re.findall(r"images/(how-it-works-[\w-]+\.png)", page))
    assert all(path.stat().st_size < 200_000 for path in (DOCS / "images").iterdir())


@pytest.mark.parametrize("figure", ["components", "duet", "loop"])
def test_plots_can_be_drawn(figure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed; it is in the extra plot")
    from scripts import figures

    whole = figures.read_mono
    # A little of the recording shows that the script works; the committed plots are of all of it.
    monkeypatch.setattr(figures, "read_mono", lambda example, name, seconds=None: whole(example, name, 0.7))
    monkeypatch.setattr(figures, "LOOP_STEPS", 2)
    axes = figures.FIGURES[figure]().axes
    assert len(axes) >= 2 and all(ax.images or ax.lines or ax.patches for ax in axes)


# Architecture


def named_files(page: Path) -> list[str]:
    """The paths below src/tagbox in the page's trees: two spaces a level, folders end with a slash."""
    paths: list[str] = []
    for block in blocks(page, "text"):
        folders: list[str] = []
        for line in block.splitlines():
            if match := re.match(r"( *)([\w.]+/|[\w.]+\.py)(?: |$)", line):
                folders = [*folders[: len(match[1]) // 2], match[2]]
                paths += ["".join(folders)] * match[2].endswith(".py")
    return paths


def says_nothing(path: Path) -> bool:
    """Whether a module is empty but for a docstring."""
    return all(isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)


def test_the_architecture_page_has_every_file() -> None:
    named = named_files(DOCS / "architecture.md")
    assert len(named) == len(set(named))
    modules = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    assert sorted(set(named) - set(modules)) == [], "no such file"
    packages = {key for key, path in modules.items() if path.name == "__init__.py" and says_nothing(path)}
    assert sorted(set(modules) - packages - set(named)) == [], "not on the page"


def test_the_architecture_page_has_the_layers_that_are_enforced() -> None:
    from test_imports import LAYERS

    lines = blocks(DOCS / "architecture.md", "")[0].splitlines()
    layers = [set(line.split(", ")) for line in reversed(lines)]
    assert layers == [set(layer) for layer in LAYERS if layer != ("__main__",)]


# Examples


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_examples_in_python_compile(page: Path) -> None:
    for block in blocks(page, "python"):
        if ">>>" in block:
            continue
        if block.startswith("# new line: "):
            # A line of a registry: an entry of a dictionary or of a tuple.
            entry = block.split("\n", 1)[1].strip()
            with contextlib.suppress(SyntaxError):
                compile(f"({entry})", name(page), "eval")
                continue
            compile(f"{{{entry}}}", name(page), "eval")
        else:
            compile(block, name(page), "exec")


WITH_EXAMPLES = [page for page in PAGES if blocks(page, "python") and page.name not in RUN_ELSEWHERE]


def test_examples_that_are_not_run_say_why() -> None:
    skipped = [block for page in PAGES for block in blocks(page, "python") if block.startswith(NOT_RUN)]
    assert all(len(block.split("\n")[0]) > len(NOT_RUN) + 20 for block in skipped)
    assert WITH_EXAMPLES and all(blocks(DOCS / page, "python") for page in RUN_ELSEWHERE)


@pytest.fixture(scope="module")
def short_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the repository's example recordings."""
    from tagbox import audio

    folder = tmp_path_factory.mktemp("short") / "examples"
    for path in sorted((ROOT / "examples").glob("*/*.flac")):
        short = audio.read(path, duration=EXAMPLE_SECONDS)
        audio.write(folder / path.parent.name / path.name, short.samples, short.rate)
    return folder


@pytest.fixture
def checkout(short_examples: Path, tmp_path: Path) -> Path:
    """A folder like a checkout's root, in which examples may write."""
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "examples").symlink_to(short_examples)
    shutil.copy(short_examples / "duet/mixture.flac", folder / "album.flac")
    return folder


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name)
def test_examples_in_python_run(page: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    monkeypatch.setitem(sys.modules, "example", type(sys)("example"))
    namespace: dict[str, object] = {"__name__": "example"}
    with contextlib.redirect_stdout(io.StringIO()):
        for block in blocks(page, "python"):
            if not block.startswith(NOT_RUN):
                exec(compile(block, page.name, "exec"), namespace)


def extend(folder: Path) -> tuple[list[str], list[str]]:
    """Add to a copy of the package in `folder` what extending.md adds: the new files, the rest as steps."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    added, steps = [], []
    for language, block in FENCE.findall((DOCS / "extending.md").read_text()):
        first, _, rest = block.partition("\n")
        if new := re.fullmatch(r"# new file: (\S+)", first):
            (folder / new[1]).write_text(rest)
            added.append(new[1])
        elif line := re.fullmatch(r"# new line: (\S+), (.+)", first):
            code = (folder / line[1]).read_text()
            head = re.search(rf"^ *{line[2]}\b.*[\[{{(]\n", code, re.MULTILINE)
            assert head, f"{line[1]} has no {line[2]}"
            (folder / line[1]).write_text(code[: head.end()] + rest + code[head.end() :])
        elif at := re.fullmatch(r"# import: (\S+)", first):
            code = (folder / at[1]).read_text()
            before = re.search(r"^from ", code, re.MULTILINE)
            assert before
            (folder / at[1]).write_text(code[: before.start()] + rest + code[before.start() :])
        elif language == "python":
            steps.append(block)
        else:
            lines = [shlex.split(each)[1:] for each in block.splitlines() if each.startswith("tagbox ")]
            steps += [f"run({words!r})\n" for words in lines]
    return added, steps


def test_extensions_work_as_the_page_says(checkout: Path, tmp_path: Path) -> None:
    added, steps = extend(checkout)
    assert added and steps
    run = "def run(words):\n    assert not app(words, standalone_mode=False), words\n"
    script = "\n".join(["from tagbox.cli import app", run, *steps, "import tagbox", "print(tagbox.__file__)"])
    env = os.environ | {"PYTHONPATH": str(checkout / "src"), "TAGBOX_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=checkout, env=env, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith(str(checkout / "src/tagbox/__init__.py"))
    assert (checkout / "out/flute.wav").is_file()
    for method in ("average", "frames", "equaliser"):
        assert (checkout / "out" / method / "mixture/violin.wav").is_file()


# The site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    pytest.importorskip("mkdocs", reason="MkDocs is not installed; it is in the extra dev")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_has_every_page(site: Path) -> None:
    pages = {page.relative_to(DOCS).with_suffix(".html").as_posix() for page in DOCS.rglob("*.md")}
    pages |= {"commands.html", "notices.html", "contributing.html"}
    assert [page for page in pages if not (site / page).is_file()] == []
    front = read_html(site / "index.html")
    assert sorted(pages - set(front.targets)) == [], "name them in mkdocs.yml"


def test_the_site_has_every_command_preset_and_model(site: Path, program: Any) -> None:
    from scripts.command_pages import commands, walk
    from tagbox.presets import PRESETS
    from tagbox.tags.synonyms import TAG_GROUPS
    from tagbox.weights.catalogue import GENERATORS, TAGGERS

    sections = dict(re.findall(r"^#+ (tagbox [^\n]+)\n(.*?)(?=^#|\Z)", commands(), re.MULTILINE | re.DOTALL))
    for command, context in walk(program):
        for param in command.params:
            if param.param_type_name == "option" and not getattr(param, "hidden", False):
                assert param.opts[0] in sections[context.command_path], (context.command_path, param.opts)
    assert all(f"<code>{preset}</code>" in (site / "presets.html").read_text() for preset in PRESETS)
    assert all(f"<td>{group.name}</td>" in (site / "tags.html").read_text() for group in TAG_GROUPS)
    weights = (site / "weights.html").read_text()
    for model in (*TAGGERS, *GENERATORS):
        assert f"<code>{model.identifier}</code>" in weights
        assert (model.git_blob or "") in weights and (model.sha256 or "") in weights


def test_links_of_the_site_resolve_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {path: read_html(path) for path in site.rglob("*.html") if path.name != "404.html"}
    broken, foreign = [], []
    for path, links in pages.items():
        foreign += [(path.name, each) for each in links.loaded if urlsplit(each).netloc]
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            file = file / "index.html" if file.is_dir() else file
            if not file.is_file() or (
                parts.fragment and file in pages and parts.fragment not in pages[file].ids
            ):
                broken.append((path.name, target))
    assert (broken, foreign) == ([], [])


def test_the_table_of_models_lists_those_of_the_catalogue() -> None:
    offers = [*discovery.discover(discovery.TAGGERS).offers.values()]
    offers += discovery.discover(discovery.GENERATORS).offers.values()
    own = [offer.item for offer in offers if offer.origin.is_own]
    classes = {item.name for item in own if isinstance(item, HubClass)}
    expected = {
        model.identifier: (f"{model.rate / 1000:g}" if model.rate else "", model.licence)
        for model in own
        if isinstance(model, Model)
    }
    listed: list[tuple[str, tuple[str, str]]] = []
    for heads, rows in tables((ROOT / "docs" / "models.md").read_text()):
        for row in rows:
            cells = dict(zip(heads, row, strict=True))
            assert cells["class"].startswith("our own") or cells["class"] in {*classes, "unknown"}
            names = re.findall(r"`(\S+)`", cells["model"])
            listed += [(name, (cells["kHz"], cells["licence"])) for name in names]
    assert len(listed) == len(dict(listed))
    assert dict(listed) == expected


def tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yield heads and rows of each table of a page, as cells."""
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        heads, _, *rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines()]
        yield heads, rows
