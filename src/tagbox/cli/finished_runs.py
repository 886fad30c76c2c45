"""Recognise results of an earlier run: leave alone what is done, remove stems that fit nothing any more."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tagbox
from tagbox.corrections import Correction, to_json
from tagbox.errors import OutputExistsError
from tagbox.parallel.storage import Place

if TYPE_CHECKING:
    from tagbox.settings import Settings

MANIFEST_NAME = "run.json"
PLOT_NAME = "plot.png"
ENDINGS = (".wav", ".flac")
"""Of results."""
INCOMPLETE = ("interrupted", "request", "non-finite")
"""Why a run stopped whose result is not what the same command gives when it is left to finish."""


@dataclasses.dataclass(frozen=True)
class Request:
    """Everything that decides the result of a separation, except the recording.

    Attributes:
        tags: one a source.
        preset: on which the settings are based.
        settings: of the separation.
        start: of the excerpt, s.
        duration: of the excerpt, s; all unless given.
        format: of the files.
        bits: of the files.
        plot: whether a plot is wanted as well.
        residual: what the residual is called, where it is what was asked for.
        corrections: to make.
    """

    tags: tuple[str, ...]
    preset: str
    settings: "Settings"
    start: float
    duration: float | None
    format: str
    bits: str | None
    plot: bool
    residual: str | None = None
    corrections: tuple[Correction, ...] = ()


def read_manifest(folder: Place) -> dict[str, Any] | None:
    """Read run.json in `folder`; None where there is none that can be read."""
    try:
        data = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def is_finished(manifest: Mapping[str, Any], folder: Place, sha256: str, request: Request) -> bool:
    """Return whether `folder` holds all that `request` would give for the recording of this SHA-256.

    Args:
        manifest: of the folder.
        folder: of the results.
        sha256: of the recording.
        request: what is asked for.
    """
    runs = manifest.get("runs")
    if not _answers(manifest, sha256, request) or not isinstance(runs, list):
        return False
    if any(not isinstance(run, dict) or run.get("stopped") in INCOMPLETE for run in runs):
        return False
    names = listed_files(manifest)
    plots = [PLOT_NAME] if request.plot else []
    return bool(names) and all((folder / name).is_file() for name in [*names, *plots])


def refuse_or_replace(
    manifest: Mapping[str, Any] | None, folder: Place, sha256: str, request: Request
) -> bool:
    """Return whether what is in `folder` may be replaced: it is of the same command, which did not finish.

    Raises:
        OutputExistsError: there is something in the folder that another command gave.
    """
    if manifest is not None and _answers(manifest, sha256, request):
        return True
    if (folder / MANIFEST_NAME).exists():
        raise OutputExistsError(
            f"{folder} holds the results of another run (another recording, tags, settings, corrections or "
            "version); "
            "give --force to replace them, or another folder"
        )
    return False


def listed_files(manifest: Mapping[str, Any]) -> list[str]:
    """Return the audio files that a manifest lists; a name that is a path is none of ours."""
    names = manifest.get("files")
    if names is None and isinstance(manifest.get("tags"), dict):
        # Earlier versions, and `Separation.save`, name the tags only.
        names = [f"{stem}{ending}" for stem in _stems(manifest["tags"]) for ending in ENDINGS]
    if not isinstance(names, list):
        return []
    return [
        name
        for name in names
        if isinstance(name, str) and Path(name).name == name and name.endswith(ENDINGS) and "\0" not in name
    ]


def remove_stale(
    earlier: Mapping[str, Any] | None, folder: Place, written: Sequence[Path]
) -> Sequence[Place]:
    """Remove the stems that an earlier run listed and that are not among those `written` now; return them.

    Its plot, which shows other stems than those that are there now, goes, too.
    """
    kept = {path.name for path in written}
    removed = []
    plots = [PLOT_NAME] if (earlier or {}).get("plot") == PLOT_NAME else []
    for name in [*listed_files(earlier or {}), *plots]:
        path = folder / name
        if name not in kept and path.is_file():
            with suppress(OSError):
                path.unlink()
                removed.append(path)
    return removed


def noted_sha256(manifest: Mapping[str, Any] | None, source: Mapping[str, str]) -> str | None:
    """Return the SHA-256 that an earlier run noted of a recording on storage, if that is still the same one.

    Args:
        manifest: of the earlier run.
        source: what is known of where the recording is: its address and version.
    """
    noted = (manifest or {}).get("input")
    is_same = isinstance(noted, dict) and all(noted.get(name) == value for name, value in source.items())
    return noted.get("sha256") if isinstance(noted, dict) and is_same else None


def _stems(tags: Mapping[str, Any]) -> list[str]:
    from tagbox.audio.files import file_name

    return [*(file_name(tag) for tag in tags), "residual"]


def _answers(manifest: Mapping[str, Any], sha256: str, request: Request) -> bool:
    """Return whether a manifest is of `request`, whether or not its run finished."""
    source, versions, tags, output, residual = (
        each if isinstance(each, dict) else {}
        for each in (manifest.get(name) for name in ("input", "versions", "tags", "output", "residual"))
    )
    # JSON knows lists only.
    settings = json.loads(json.dumps(dataclasses.asdict(request.settings)))
    return (
        source.get("sha256") == sha256
        and (source.get("start"), source.get("duration")) == (request.start, request.duration)
        and versions.get("tagbox") == tagbox.__version__
        and list(tags) == list(request.tags)
        and residual.get("name") == request.residual
        and manifest.get("preset") == request.preset
        and manifest.get("settings") == settings
        and manifest.get("corrections", []) == json.loads(json.dumps(to_json(request.corrections)))
        and (output.get("format"), output.get("bits")) == (request.format, request.bits)
    )
