"""The wheel, as somebody who has only that would use it; `tagbox doctor` where things are missing."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import soundfile

import tagbox
from cli_runner import assert_refused, run_tagbox
from tagbox.doctor import Finding, examine

ROOT = Path(__file__).resolve().parents[1]
MAX_WHEEL_BYTES = 20_000_000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A source distribution, and the wheel that is built from it, without the network."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build"]
    subprocess.run([*build, "-t", "sdist", "-d", folder], cwd=ROOT, check=True, capture_output=True)
    (source,) = folder.glob("tagbox-*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    subprocess.run([*build, "-t", "wheel", "-d", folder], cwd=unpacked, check=True, capture_output=True)
    (wheel,) = folder.glob("tagbox-*.whl")
    shutil.rmtree(folder / "unpacked")
    return source, wheel


def test_the_wheel_holds_the_package_and_no_more(built: tuple[Path, Path]) -> None:
    _, wheel = built
    assert wheel.stat().st_size < MAX_WHEEL_BYTES
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        described = archive.read(metadata).decode()
    tracked = subprocess.run(
        ["git", "ls-files", "src/tagbox"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode == 0 and tracked.stdout:
        files = {line.removeprefix("src/") for line in tracked.stdout.splitlines()}
        assert files - names == set()
    assert "tagbox/example/duet.flac" in names
    assert all(name.startswith("tagbox/") for name in names)
    assert f"\nVersion: {tagbox.__version__}\n" in described


def test_the_version_stands_in_every_place() -> None:
    assert f"## {tagbox.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {tagbox.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    code, out, _ = run_tagbox("--version")
    assert code == 0 and f"tagbox {tagbox.__version__} " in out and "torch" in out and out.count("\n") == 1


def test_a_new_user_separates_the_example_offline(built: tuple[Path, Path], tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    with zipfile.ZipFile(built[1]) as archive:
        archive.extractall(packages)
    # What TagBox requires is there already, so that nothing is downloaded.
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # No connection can be made: every request would go to a port where nobody listens.
    variables = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9"),
        "TAGBOX_HOME": str(tmp_path / "home"),
    }

    def run(*words: str) -> str:
        command = [environment / "bin" / "python", "-m", "tagbox", *words]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(packages) in run("doctor", "--no-speed")
    assert "duet.flac" in run("example")
    run("separate", "duet.flac", "--tags", "violin", "--preset", "fast", "--duration", "2", "-o", "out")
    assert soundfile.info(tmp_path / "out" / "duet" / "violin.wav").duration == pytest.approx(2, abs=1e-3)


def test_the_example(tmp_path: Path) -> None:
    path = tmp_path / "new" / "duet.flac"
    assert run_tagbox("example", path)[0] == 0
    assert path.read_bytes() == (ROOT / "examples" / "duet" / "mixture.flac").read_bytes()
    assert_refused(run_tagbox("example", path), "--force")
    assert_refused(run_tagbox("example", tmp_path / "duet.wav"), "duet.flac", path=tmp_path / "duet.wav")


def test_doctor_says_what_is_there() -> None:
    code, out, err = run_tagbox("doctor", "--no-speed", "--json")
    assert (code, err) == (0, "")
    found = {(each["section"], each["name"]): Finding(**each) for each in json.loads(out)}
    assert found["versions", "tagbox"].value.startswith(tagbox.__version__)
    assert re.match(r"\d+\.\d+", found["versions", "torch"].value)
    assert found["models", "rendered/listener"].value == "comes with TagBox"
    assert ("devices", "chosen") in found and ("speed", "default, first") not in found


WITHOUT = """
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ImportError(f"no module {name}")
sys.meta_path.insert(0, Gone())
from tagbox import doctor
sys.exit(doctor.main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("gone", "options"), [("torch,typer,rich", []), ("numpy,soundfile,matplotlib", ["--no-speed"])]
)
def test_doctor_works_whatever_is_missing(gone: str, options: list[str]) -> None:
    command = [sys.executable, "-c", WITHOUT, gone, "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": "/nowhere"})
    assert done.returncode == 0, done.stderr
    found = [Finding(**each) for each in json.loads(done.stdout)]
    by_name = {each.name: each for each in found if each.section in ("versions", "programs")}
    for name in gone.split(","):
        if name in by_name:
            assert "cannot be imported" in by_name[name].value or by_name[name].value == "missing"
            assert "pip install" in by_name[name].advice
    assert "apt-get install ffmpeg" in by_name["ffmpeg"].advice
    assert bool([each for each in found if each.section == "speed"]) == (not options)


def test_a_fault_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from tagbox import doctor

    def fail() -> None:
        raise OSError("broken\nbadly")

    monkeypatch.setattr(doctor, "_processor", fail)
    (line,) = [each for each in examine(measure=False) if each.section == "processor"]
    assert line.value == "OSError: broken badly"


@pytest.mark.slow
def test_the_steps_of_the_containerfile(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Each RUN line but Debian's, in a shell, with what is needed from the package index."""
    text = re.sub(r"\\\n", " ", (ROOT / "Containerfile").read_text())
    steps = re.findall(r"^RUN (.+)$", text, re.MULTILINE)
    assert len(steps) >= 3
    (tmp_path / "dist").mkdir()
    shutil.copy(built[1], tmp_path / "dist")
    prefix = tmp_path / "prefix"
    variables = {**os.environ, "PREFIX": str(prefix), "TORCH": f"torch=={tagbox_torch()}"}
    variables.pop("PYTHONPATH", None)
    for step in [each for each in steps if not each.startswith("apt-get")]:
        done = subprocess.run(["sh", "-c", step], cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, f"{step}: {done.stderr}"
    entry = re.search(r'^ENTRYPOINT \["/opt/tagbox/(.+)"\]$', text, re.MULTILINE)
    assert entry is not None
    for words in (["example"], ["separate", "duet.flac", "--tags", "violin", "-o", "out", "--duration", "2"]):
        command = [prefix / entry[1], *words]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "duet" / "violin.wav").exists()


def tagbox_torch() -> str:
    """The version of PyTorch that the tests run with, which is likely to be at hand."""
    constraints = (ROOT / "constraints.txt").read_text()
    match = re.search(r"^torch==(\S+)$", constraints, re.MULTILINE)
    assert match is not None
    return match[1]
