"""Tell what is installed, what is missing and how to get it, and how fast this machine is: for bug reports.

Only the standard library is imported before it is known what is there, so `python -m tagbox.doctor` works
where `tagbox doctor` cannot start. Whatever is missing or broken is a line.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PACKAGE = "tagbox"
NOT_AS_NAMED = {"huggingface_hub": "huggingface_hub", "pyyaml": "yaml", "scikit-learn": "sklearn"}
"""Modules of packages that are imported under another name."""
INTERNAL_EXTRAS = ("dev", "all")
PROGRAMS = {
    "ffmpeg": "reads m4a, mp4, mkv, webm and wma",
    "ffprobe": "tells what is in them",
    "fluidsynth": "renders data sets",
}
"""Programs that TagBox drives, and what for."""
FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "neon", "asimd", "bf16", "sve")
"""Of processors, as Linux names them, that PyTorch's kernels use."""
STEP_SECONDS = 3.0
"""Of audio that is separated to see how fast that is."""


@dataclass(frozen=True)
class Finding:
    """A line of the report.

    Attributes:
        section: to which it belongs.
        name: of what was looked at.
        value: what was found.
        advice: what to do about it, where something is missing.
    """

    section: str
    name: str
    value: str
    advice: str = ""


def examine(measure: bool = True) -> Iterator[Finding]:
    """Yield all findings; each is computed when it is asked for, and none raises.

    Args:
        measure: whether to separate a few seconds of noise and tell how long that takes.
    """
    sections: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", _versions),
        ("extras", _extras),
        ("programs", _programs),
        ("processor", _processor),
        ("devices", _devices),
        ("models", _models),
    ]
    if measure:
        sections.append(("speed", _speed))
    for name, look in sections:
        try:
            yield from look()
        except Exception as error:
            yield Finding(name, "cannot be told", f"{type(error).__name__}: {_one_line(error)}")


def report(measure: bool = True, as_json: bool = False) -> Iterator[str]:
    """Yield the lines of the report: as the findings come, or as JSON when all have.

    Args:
        measure: whether to separate a few seconds of noise and tell how long that takes.
        as_json: whether the report is one JSON document.
    """
    findings = examine(measure)
    if as_json:
        yield json.dumps([asdict(each) for each in findings], indent=2)
        return
    section = ""
    for each in findings:
        if each.section != section:
            if section:
                yield ""
            yield each.section
            section = each.section
        advice = f"  ({each.advice})" if each.advice else ""
        yield f"  {each.name:<18} {each.value}{advice}"


def main(arguments: Sequence[str] = ()) -> int:
    """Print the report: the program `python -m tagbox.doctor`."""
    for line in report("--no-speed" not in arguments, "--json" in arguments):
        print(line, flush=True)
    return 0


def _versions() -> Iterator[Finding]:
    import tagbox

    yield Finding("versions", PACKAGE, f"{tagbox.__version__} in {Path(tagbox.__file__).parent}")
    yield Finding("versions", "python", f"{platform.python_version()} at {sys.executable}")
    yield Finding("versions", "system", platform.platform())
    for name, least in _requirements(None):
        yield _package("versions", name, least, f"pip install '{name}{least}'")


def _extras() -> Iterator[Finding]:
    described = importlib.metadata.metadata(PACKAGE)
    for extra in described.get_all("Provides-Extra") or []:
        if extra in INTERNAL_EXTRAS:
            continue
        missing = [name for name, _ in _requirements(extra) if _version(name) is None]
        broken = [name for name, _ in _requirements(extra) if name not in missing and not _is_found(name)]
        if missing or broken:
            value = f"missing: {', '.join([*missing, *broken])}"
            yield Finding("extras", extra, value, f"pip install '{PACKAGE}[{extra}]'")
        else:
            yield Finding("extras", extra, "installed")


def _programs() -> Iterator[Finding]:
    for name, purpose in PROGRAMS.items():
        path = shutil.which(name)
        if path is None:
            package = "ffmpeg" if name.startswith("ff") else name
            yield Finding("programs", name, "missing", f"{purpose}; on Debian: apt-get install {package}")
        else:
            yield Finding("programs", name, path)


def _processor() -> Iterator[Finding]:
    text = ""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    model = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    yield Finding("processor", "model", model[1] if model else platform.processor() or platform.machine())
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    known = flags[1].split() if flags else []
    yield Finding("processor", "features", " ".join(each for each in FEATURES if each in known) or "unknown")
    from tagbox.kernels.threads import available_cores
    from tagbox.parallel.job_count import available_memory

    yield Finding("processor", "cores", f"{available_cores()} of {os.cpu_count()} may be used")
    if (memory := available_memory()) < sys.maxsize:
        yield Finding("processor", "memory", f"{memory / 1e9:.1f} GB may be taken")
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "TAGBOX_HOME"):
        if name in os.environ:
            yield Finding("processor", name, os.environ[name])


def _devices() -> Iterator[Finding]:
    import torch

    from tagbox.kernels.devices import select_device, select_dtype

    capability = getattr(torch.backends.cpu, "get_cpu_capability", lambda: "unknown")()
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    onednn = "with" if has_onednn else "without"
    yield Finding("devices", "cpu", f"PyTorch's kernels for {capability}, {onednn} oneDNN")
    for i in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(i).total_memory
        yield Finding("devices", f"cuda:{i}", f"{torch.cuda.get_device_name(i)}, {memory / 1e9:.0f} GB")
    device = select_device("auto")
    yield Finding(
        "devices", "chosen", f"{device}, {str(select_dtype('auto', device)).removeprefix('torch.')}"
    )


def _models() -> Iterator[Finding]:
    from tagbox.weights import catalogue, store

    for model in (*catalogue.taggers(), *catalogue.generators()):
        available = store.availability(model)
        if available == "inside":
            yield Finding("models", model.identifier, "comes with TagBox")
        elif available == "cached":
            yield Finding("models", model.identifier, "downloaded")
    home = store.home()
    existing = next(each for each in (home, *home.parents) if each.exists())
    free = shutil.disk_usage(existing).free / 1e9
    yield Finding("models", "folder", f"{home}, {free:.0f} GB free", "more: tagbox models")


def _speed() -> Iterator[Finding]:
    import torch

    import tagbox

    noise = 0.1 * torch.randn(1, int(STEP_SECONDS * 44100), generator=torch.Generator().manual_seed(0))
    for round_name in ("first", "again"):
        began, used = time.perf_counter(), time.process_time()
        tagbox.separate(noise, 44100, ["violin"])
        took, used = time.perf_counter() - began, time.process_time() - used
        value = f"{took:.1f} s for {STEP_SECONDS:g} s of audio, {used:.1f} s of computing"
        yield Finding("speed", f"default, {round_name}", value)
    # A processor that others use takes longer than it computes.
    if took > 1.5 * used:
        yield Finding("speed", "note", "other programs use this processor too")


def _requirements(extra: str | None) -> Iterator[tuple[str, str]]:
    """Yield the packages that TagBox, or one of its extras, requires, and their versions."""
    for text in importlib.metadata.requires(PACKAGE) or []:
        requirement, _, marker = text.partition(";")
        of_extra = re.search(r"""extra\s*==\s*['"]([^'"]+)""", marker)
        if (of_extra[1] if of_extra else None) != extra:
            continue
        match = re.match(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?\s*(.*)", requirement.strip())
        if match:
            yield match[1], match[2].strip()


def _package(section: str, name: str, least: str, advice: str) -> Finding:
    version = _version(name)
    if version is None:
        return Finding(section, name, "missing", advice)
    if not _is_found(name):
        return Finding(section, name, f"{version}, but it cannot be imported", f"{advice} --force-reinstall")
    return Finding(section, name, f"{version} (needs {least})" if least else version)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_found(name: str) -> bool:
    module = NOT_AS_NAMED.get(name, name.replace("-", "_"))
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
