"""The documentation is true: links, commands, examples, and what is written from the program."""

import contextlib
import html.parser
import io
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
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "NOTICE.md", *sorted(DOCS.glob("*.md"))]
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
EXTENDED = DOCS / "extending.md"

NOT_RUN = "# Not run in the tests: "
"""How the first line of an example begins that is not run; the reason follows."""

OWN_TESTS = {"extending.md": "test_extensions_work_as_the_page_says", "tags.md": "a doctest, in test_tags.py"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of `page` in these languages ("" is none)."""
    return [text for language, text in FENCE.findall(page.read_text()) if language in languages]


def prose(page: Path) -> str:
    """`page` without its code."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """What headings of a page can be reached by, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {slug(heading) for heading in headings}


def slug(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


class Links(html.parser.HTMLParser):
    """What a page of HTML points at, and the ids in it."""

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
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose(page)):
        parts = urlsplit(target)
        if parts.scheme:
            continue
        file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if not file.exists() or not file.is_relative_to(ROOT):
            broken.append(target)
        elif parts.fragment:
            there = anchors(file) if file.suffix == ".md" else read_html(file).ids
            if parts.fragment not in there:
                broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_nothing_is_left_to_be_filled_in(page: Path) -> None:
    found = [line for line in page.read_text().splitlines() if "@@" in line or "TODO" in line]
    assert found == []


def test_what_is_written_from_the_program_is_current() -> None:
    from scripts.command_pages import pages

    stale = [name(path) for path, page in pages().items() if path.read_text() != page]
    assert stale == [], "run: python scripts/command_pages.py"


def test_every_command_has_its_section_and_every_option_its_line() -> None:
    from scripts.command_pages import walk

    page = (DOCS / "commands.md").read_text()
    sections = dict(re.findall(r"^#+ (tagbox [^\n]+)\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL))
    seen = 0
    for command, context in walk(program()):
        for param in command.params:
            if param.param_type_name == "option" and not getattr(param, "hidden", False):
                assert param.opts[0] in sections[context.command_path], (context.command_path, param.opts)
                seen += 1
    assert seen > 80 and {"tagbox separate", "tagbox models pull"} <= set(sections)


def program():  # type: ignore[no-untyped-def]
    import typer

    from tagbox.cli import app

    return typer.main.get_command(app)


def command_lines(page: Path) -> Iterator[str]:
    """Every `tagbox ...` in the blocks of `page` that are for a shell."""
    for block in blocks(page, "", "sh", "bash", "console"):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            plain = line.removeprefix("$ ").strip()
            plain = re.sub(r"^([A-Z_]+=\S* )*(\.venv/bin/|python3? -m )?(?=tagbox )", "", plain)
            if plain.startswith("tagbox "):
                yield plain


def parse(line: str) -> None:
    """Let the program read `line` as a shell would hand it over, without running anything."""
    words, command, context = shlex.split(line, comments=True)[1:], program(), None
    while True:
        context = type(command).context_class(command, info_name=command.name, parent=context)
        inner = getattr(command, "commands", {})
        at = next((i for i, word in enumerate(words) if not word.startswith("-")), len(words))
        if not inner:
            command.parse_args(context, words)
            return
        # Groups do something by themselves, too: what stands before a command is the group's.
        command.make_parser(context).parse_args(words[:at])
        if at == len(words):
            return
        assert words[at] in inner, f"there is no command {words[at]!r}"
        command, words = inner[words[at]], words[at + 1 :]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_the_docs_are_understood(page: Path) -> None:
    wrong = []
    for line in command_lines(page):
        try:
            parse(line)
        except Exception as error:
            wrong.append((line, repr(error)))
    assert wrong == []


def test_the_parser_of_the_test_refuses_what_the_program_does_not_have() -> None:
    parse("tagbox separate song.mp3 --tags violin -o out")
    parse("tagbox models --json")
    for bad in (
        "tagbox separat x",
        "tagbox tag song.mp3 --topp 3",
        "tagbox models push x",
        "tagbox separate",
    ):
        with pytest.raises(Exception, match=r"."):
            parse(bad)
    assert unknown_words("tagbox models pull --accept-license") == []
    assert unknown_words("tagbox models push") == ["push"]
    assert unknown_words("tagbox separate FILE --tagz WORD") == ["--tagz"]
    assert importable("tagbox.presets.PRESETS") and not importable("tagbox.presets.PRESET")
    lines = [line for page in PAGES for line in command_lines(page)]
    assert len(lines) > 40


def spans(page: Path) -> set[str]:
    """The words in `page` that are set as code, between its blocks of code."""
    return {" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCE.sub("", page.read_text()))}


def unknown_words(line: str) -> list[str]:
    """Words of a command in a sentence, where it may lack what it needs, that the program does not have."""
    words, command, known = shlex.split(line.replace("...", ""))[1:], program(), {"--help"}
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if words and getattr(command, "commands", {}) and not words[0].startswith("-") and words[0].islower():
        return words[:1]
    known |= {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    return [word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in known]


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Every option of the program, and of the scripts and benchmarks beside it."""
    from scripts.command_pages import walk

    known = {"--help", "--install-completion", "--version"}
    known |= {option for command, _ in walk(program()) for param in command.params for option in param.opts}
    for folder in ("scripts", "benchmarks", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            known |= set(re.findall(r"[\"'](--[a-z][a-z-]*)[\"']", path.read_text()))
    return known


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_sentences_name_is_there(page: Path, options: set[str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for block in blocks(page, "", "sh", "bash", "console") for line in block.splitlines()]
    wrong: list[object] = []
    for said in (*spans(page), *lines):
        if said.startswith("tagbox ") and said not in lines:
            wrong += [(said, word) for word in unknown_words(said)]
        elif re.match(r"--[a-z]", said) and re.split(r"[ =]", said)[0] not in options:
            wrong.append(said)
        elif target := re.match(r"make ([a-z-]+)", said):
            wrong += [said] * (target[1] not in targets)
        elif module := re.search(r"python3? -m ((?:benchmarks|scripts)[\w.]*)", said):
            place = ROOT / module[1].replace(".", "/")
            wrong += [said] * (not place.is_dir() and not place.with_suffix(".py").is_file())
        elif re.fullmatch(r"tagbox(\.\w+)+", said):
            wrong += [said] * (not importable(said))
        elif re.fullmatch(r"[\w./-]+/[\w.-]+\.(py|toml|ipynb|txt)", said):
            where = (ROOT, ROOT / "src", ROOT / "src/tagbox")
            wrong += [said] * (not any((folder / said).exists() for folder in where))
    assert wrong == []


def importable(dotted: str) -> bool:
    """Whether `dotted` is a module, or something in one."""
    with contextlib.suppress(ImportError, AttributeError):
        pkgutil.resolve_name(dotted)
        return True
    owner, _, attribute = dotted.rpartition(".")
    with contextlib.suppress(ImportError, AttributeError):
        # A field of a dataclass without a value is in its class's annotations alone.
        return attribute in getattr(pkgutil.resolve_name(owner), "__annotations__", {})
    return False


def test_the_python_page_tells_of_everything_public() -> None:
    import tagbox

    told = spans(DOCS / "python.md")
    assert [each for each in tagbox.__all__ if f"tagbox.{each}" not in told] == []


def test_figures_are_drawn_by_the_script_and_small() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed; it is in the extra plot")
    from scripts.figures import FIGURES

    drawn = {f"how-it-works-{figure}.png" for figure in FIGURES}
    assert drawn == {path.name for path in (DOCS / "images").glob("how-it-works-*.png")}
    assert drawn == set(
        re.findall(r"images/(how-it-works-[\w-]+\.png)", (DOCS / "how-it-works.md").read_text())
    )
    assert all(path.stat().st_size < 200_000 for path in (DOCS / "images").iterdir())


@pytest.mark.parametrize("figure", ["components", "duet", "loop"])
def test_figures_can_be_drawn(figure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed; it is in the extra plot")
    from scripts import figures

    whole = figures.mono
    # A little of the recording shows that the script works; the pages' figures are of all of it.
    monkeypatch.setattr(figures, "mono", lambda piece, name, seconds=None: whole(piece, name, 1.5))
    monkeypatch.setattr(figures, "LOOP_STEPS", 2)
    axes = figures.FIGURES[figure]().axes
    assert len(axes) >= 2 and all(ax.images or ax.lines or ax.patches for ax in axes)


def test_every_preset_has_its_advice_and_the_limits_count_right() -> None:
    from tagbox.presets import PRESETS
    from tagbox.tags.vocabularies import EXCLUSIVE, TAGS

    advice = (DOCS / "presets.md").read_text().split("## Which to take")[1]
    assert [preset for preset in PRESETS if not re.search(rf"^- .*`{preset}`", advice, re.MULTILINE)] == []
    kinds, every = len(EXCLUSIVE["rendered"]), len(TAGS["rendered"])
    limits = (DOCS / "limits.md").read_text()
    numbers = re.search(r"knows (\d+) kinds of instruments and (\w+) families", limits)
    assert numbers and int(numbers[1]) == kinds and {"ten": 10}[numbers[2]] == every - kinds


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


WITH_EXAMPLES = [page for page in PAGES if blocks(page, "python") and page.name not in OWN_TESTS]


def test_examples_that_are_not_run_are_few_and_say_why() -> None:
    skipped = [block for page in PAGES for block in blocks(page, "python") if block.startswith(NOT_RUN)]
    assert len(skipped) <= 1
    assert all(len(block.split("\n")[0]) > len(NOT_RUN) + 20 for block in skipped)
    assert len(WITH_EXAMPLES) >= 7 and all(blocks(DOCS / page, "python") for page in OWN_TESTS)


def at_the_root(folder: Path) -> Path:
    """`folder` as a checkout's root in which examples may write."""
    folder.mkdir(exist_ok=True)
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name)
def test_examples_in_python_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tagbox import audio

    root = at_the_root(tmp_path / "root")
    monkeypatch.chdir(root)
    # What the examples take for granted: recordings of the reader's.
    duet = audio.read(ROOT / "examples/duet/mixture.flac", duration=3)
    audio.write(root / "album.flac", duet.samples, duet.rate)
    names: dict[str, object] = {"__name__": "example", "samples": duet.samples, "rate": duet.rate}
    monkeypatch.setitem(sys.modules, "example", type(sys)("example"))
    ours = [block for block in blocks(page, "python") if not block.startswith(NOT_RUN)]
    with contextlib.redirect_stdout(io.StringIO()):
        for block in ours:
            exec(compile(block, page.name, "exec"), names)


def extended(folder: Path) -> tuple[list[str], list[str]]:
    """A copy of the package in `folder` with what extending.md adds: the files added, the rest as steps."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    added, steps = [], []
    for language, block in FENCE.findall(EXTENDED.read_text()):
        first, _, rest = block.partition("\n")
        if made := re.fullmatch(r"# new file: (\S+)", first):
            (folder / made[1]).write_text(rest)
            added.append(made[1])
        elif line := re.fullmatch(r"# new line: (\S+), (\w+)", first):
            code = (folder / line[1]).read_text()
            head = re.search(rf"^{line[2]}\b.*[\[{{(]\n", code, re.MULTILINE)
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
            steps.append(
                "from tagbox.cli import app\n" + "".join(f"run(app, {words!r})\n" for words in lines)
            )
    return added, steps


def test_extensions_work_as_the_page_says(tmp_path: Path) -> None:
    root = at_the_root(tmp_path / "root")
    added, steps = extended(root)
    assert len(added) == 3 and len(steps) >= 7
    script = "def run(app, words):\n    assert not app(words, standalone_mode=False), words\n" + "\n".join(
        steps
    )
    script += "\nimport tagbox; print(tagbox.__file__)\n"
    env = os.environ | {"PYTHONPATH": str(root / "src"), "TAGBOX_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith(str(root / "src/tagbox/__init__.py"))
    assert (root / "out/flute.wav").is_file() and (root / "out/average/mixture/violin.wav").is_file()
    assert (root / "out/frames/mixture/violin.wav").is_file()


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
    missing = [page.stem for page in DOCS.glob("*.md") if not (site / f"{page.stem}.html").is_file()]
    assert missing == []
    front = read_html(site / "index.html")
    unreachable = [page.stem for page in DOCS.glob("*.md") if f"{page.stem}.html" not in front.targets]
    assert unreachable == [], "name them in mkdocs.yml"


def test_links_of_the_site_lead_somewhere_and_nothing_comes_from_elsewhere(site: Path) -> None:
    pages = {path: read_html(path) for path in site.rglob("*.html") if path.name != "404.html"}
    broken, foreign, checked = [], [], 0
    for path, links in pages.items():
        foreign += [(path.name, each) for each in links.loaded if urlsplit(each).netloc]
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            checked += 1
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            file = file / "index.html" if file.is_dir() else file
            if not file.is_file() or (
                parts.fragment and file in pages and parts.fragment not in pages[file].ids
            ):
                broken.append((path.name, target))
    assert (broken, foreign) == ([], [])
    assert checked > 500
