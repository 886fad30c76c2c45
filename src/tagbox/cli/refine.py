"""``tagbox refine``."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tagbox import corrections as kinds
from tagbox.cli.finished_runs import MANIFEST_NAME, PLOT_NAME, Request, read_manifest
from tagbox.cli.marks import AbsentOption, IsOption, NotOption, read_corrections
from tagbox.cli.options import Device, check_models
from tagbox.cli.output import Json, Output, Quiet, Verbose
from tagbox.cli.recordings import NamedRecording
from tagbox.errors import TagBoxError, UnreadableRecordingError
from tagbox.parallel.engine import ThisProcess

if TYPE_CHECKING:
    from tagbox.settings import Settings


def refine(
    folder: Annotated[
        Path, typer.Argument(metavar="RESULT", help="Folder of a finished result, with its run.json.")
    ],
    is_: IsOption = None,
    not_: NotOption = None,
    absent: AbsentOption = None,
    undo: Annotated[
        int, typer.Option("--undo", count=True, help="First take back the last correction; repeat for more.")
    ] = 0,
    recording: Annotated[
        Path | None,
        typer.Option(help="The recording, where it is no longer where it was.", show_default=False),
    ] = None,
    device: Device = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Correct a finished result of tagbox separate, and replace its files.

    Reads the tags, settings and earlier corrections from RESULT/run.json, adds
    the new ones, and separates the recording again; a plot is drawn again, too.
    The same corrections give the same samples.

    Examples:

      tagbox refine out/song --is violin:3.0-5.5 --not violin:8-9.2

      tagbox refine out/song --undo --absent violin:1:05-1:20
    """
    output = Output(quiet, verbose, json)
    manifest = read_manifest(folder)
    if manifest is None:
        raise TagBoxError(f"{folder} has no {MANIFEST_NAME} that can be read; give the folder of one result")
    found = _Finished.of(manifest, folder)
    earlier = found.corrections
    if undo > len(earlier):
        raise TagBoxError(f"there {'is' if len(earlier) == 1 else 'are'} {len(earlier)} to undo, not {undo}")
    made = read_corrections(is_, not_, absent, found.tags)
    if not undo and not made:
        raise TagBoxError("nothing to correct; give --is, --not, --absent or --undo")
    corrections = (*earlier[: len(earlier) - undo], *made)
    path = _find_recording(recording, folder, manifest)
    check_models(found.settings)

    from tagbox.cli.separate_recording import SeparateRecordings, separate_all

    arguments: dict[str, Any] = {
        "tags": [found.residual] if found.residual else list(found.tags),
        "preset": found.preset,
        "device": device,
        "start": found.start,
        "duration": found.duration,
        "format": found.format,
        "bits": found.bits,
        "force": True,
        "corrections": corrections,
        **found.overrides,
    }
    request = Request(
        found.tags,
        found.preset,
        found.settings,
        found.start,
        found.duration,
        found.format,
        found.bits,
        found.plot,
        found.residual,
        corrections,
    )
    work = SeparateRecordings(folder.parent, request, arguments, output, is_batch=False)
    separate_all([NamedRecording(path, Path(folder.name))], work, ThisProcess())


@dataclass(frozen=True)
class _Finished:
    """What a run.json says of the command that made it."""

    tags: tuple[str, ...]
    residual: str | None
    preset: str
    overrides: dict[str, Any]
    settings: "Settings"
    start: float
    duration: float | None
    format: str
    bits: str | None
    plot: bool
    corrections: tuple[kinds.Correction, ...]

    @classmethod
    def of(cls, manifest: dict[str, Any], folder: Path) -> "_Finished":
        """Read what is needed to separate again.

        Raises:
            TagBoxError: something is missing.
        """
        from tagbox import presets

        try:
            names = {field.name for field in dataclasses.fields(presets.Settings)}
            overrides = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in manifest["settings"].items()
                if name in names
            }
            source, written = manifest["input"], manifest.get("output", {})
            return cls(
                tags=tuple(manifest["tags"]),
                residual=manifest.get("residual", {}).get("name"),
                preset=manifest["preset"],
                overrides=overrides,
                settings=presets.override(presets.find(manifest["preset"]).settings, **overrides),
                start=source.get("start", 0.0),
                duration=source.get("duration"),
                format=written.get("format", "wav"),
                bits=written.get("bits"),
                plot=manifest.get("plot") == PLOT_NAME,
                corrections=kinds.from_json(manifest.get("corrections", [])),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise TagBoxError(
                f"{folder / MANIFEST_NAME} does not say how the result was made ({error}); separate again"
            ) from error


def _find_recording(given: Path | None, folder: Path, manifest: dict[str, Any]) -> Path:
    """Return the recording of a result, and check that it is the same one.

    Raises:
        UnreadableRecordingError: it is not there, or is another one.
    """
    from tagbox.audio.validation import fingerprint, require_regular_file

    source = manifest["input"]
    if given is None and isinstance(source.get("found_at"), str):
        given = folder / source["found_at"]
    if given is None or not given.is_file():
        raise UnreadableRecordingError(
            f"the recording {source.get('file', '')} is not where it was; say where with --recording"
        )
    path = Path(os.path.normpath(given))
    if fingerprint(require_regular_file(path)) != source.get("sha256"):
        raise UnreadableRecordingError(
            f"{path} is not the recording of which {folder} is the result; say where that is with --recording"
        )
    return path
