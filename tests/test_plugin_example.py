"""The example plug-in, installed into a fresh virtual environment as users install it."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[1]
DUET = ROOT / "examples" / "duet" / "mixture.flac"


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the plug-in."""

    folder: Path

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run its Python."""
        command = [str(self.folder / "bin" / "python"), *map(str, arguments)]
        variables = {**os.environ, "TAGBOX_HOME": str(self.folder / "home")}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    # What the tests have installed is there too, so that nothing is downloaded.
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "tests.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    source = folder / "plugin"
    shutil.copytree(ROOT / "examples" / "plugin", source)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([*pip, *offline, source], check=True)
    return Environment(folder)


def test_models_lists_the_plugin(environment: Environment) -> None:
    listed = environment.run("-m", "tagbox", "models")
    assert listed.returncode == 0 and listed.stderr == ""
    rows = {line.split()[0]: line for line in listed.stdout.splitlines() if "tagbox-cosines 1.0" in line}
    assert {*rows} == {"brightness", "brightness/balance", "cosines"}
    assert " 32 " in rows["brightness/balance"] and " 48 " in rows["cosines"]


def test_its_tagger_tells_dark_from_bright(environment: Environment, tmp_path: Path) -> None:
    program = (
        "import sys, torch, tagbox; from tagbox import audio\n"
        "t = torch.arange(88_200) / 44_100\n"
        "for hertz in (200, 5_000):\n"
        "    tone = 0.5 * torch.sin(2 * torch.pi * hertz * t)\n"
        "    tagger = tagbox.load_tagger('balance', 'brightness')\n"
        "    found = tagger(audio.resample(tone, 44_100, tagger.rate)[None])\n"
        "    print(tagger.tags[int(found.probabilities.argmax())])\n"
    )
    told = environment.run("-c", program)
    assert (told.stdout.split(), told.stderr) == (["dark", "bright"], "")
    tagged = environment.run("-m", "tagbox", "tag", DUET, "--tagger", "brightness/balance", "--json")
    assert tagged.returncode == 0 and '"bright"' in tagged.stdout


def test_its_generator_re_synthesises_and_separates_in_stereo(
    environment: Environment, tmp_path: Path
) -> None:
    mono, rate = soundfile.read(DUET, frames=88_200)
    song = tmp_path / "song.wav"
    soundfile.write(song, np.stack([mono, 0.5 * mono[::-1]], axis=1), rate)
    models = ("--tagger", "brightness/balance", "--generator", "cosines", "--steps", "2")
    out = tmp_path / "bright.wav"
    made = environment.run("-m", "tagbox", "transfer", song, "--tags", "bright", "-o", out, *models)
    assert made.returncode == 0, made.stderr
    assert soundfile.info(out).channels == 2 and soundfile.info(out).duration == pytest.approx(2, abs=1e-3)
    options = ("--tags", "bright", "--preset", "transfer", "-o", tmp_path)
    separated = environment.run("-m", "tagbox", "separate", song, *options, *models)
    assert separated.returncode == 0, separated.stderr
    tracks = [soundfile.read(tmp_path / "song" / f"{name}.wav")[0] for name in ("bright", "residual")]
    whole = soundfile.read(song)[0]
    # Two files of 16 bits, each rounded to the nearest step.
    assert abs(tracks[0] + tracks[1] - whole).max() <= 2**-15
    manifest = (tmp_path / "song" / "run.json").read_text()
    assert '"tagbox-cosines"' in manifest and '"1.0"' in manifest


PAGE = """
import sys
from pathlib import Path

import gradio
from tagbox.ui import form, suggestions
from tagbox.ui.limits import Limits
from tagbox.ui.processing import process_separation

song, folder = map(Path, sys.argv[1:])
with gradio.Blocks(analytics_enabled=False):
    built = form.build_form("a", ["steered"], Limits(), {"embedded": "embedded"})
chosen = {"taggers": ["brightness/balance"], "steps": 2, "components": 2}
names = ["preset", *built.settings]
values = [chosen.get(name, control.value) for name, control in zip(names, built.controls)]
values += [control.value for control in built.controls[len(names):]]
assert "brightness/balance" in [value for _, value in built.settings["taggers"].choices]
assert "bright" in suggestions.known_words(["brightness/balance"])
request = built.request(song, ["bright"], values)
folder.mkdir()
ignore = lambda *arguments: None
result = process_separation(request, folder, ignore, ignore, ignore)
print(*result.tracks, result.manifest["taggers"][0]["distribution"])
"""


def test_its_tagger_is_used_on_the_page(environment: Environment, tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed")
    song = tmp_path / "song.wav"
    mono, rate = soundfile.read(DUET, frames=88_200)
    soundfile.write(song, mono, rate)
    used = environment.run("-c", PAGE, song, tmp_path / "out")
    assert used.stdout.split() == ["mixture", "bright", "residual", "tagbox-cosines"], used.stderr
