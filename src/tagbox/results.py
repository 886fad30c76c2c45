"""Hold the results of a run, and write them: audio files, and a manifest that says how they were computed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from tagbox.atomic_files import refuse_to_overwrite, written_together
from tagbox.audio import files
from tagbox.audio.files import Bits, default_bits, file_name, peak
from tagbox.audio.metadata import Metadata
from tagbox.errors import UnwritableOutputError
from tagbox.methods.steering import NOTHING_TO_STEER, History, Run, Stopped


@dataclass(frozen=True)
class Separation:
    """A separated recording.

    Attributes:
        sources: the estimate for each query, (channels, samples) at `rate`.
        residual: the recording minus all sources, (channels, samples).
        rate: Hz.
        runs: of the steering loop: one for all sources together, or one for each.
        manifest: how the result was computed, as `save` writes it to run.json.
    """

    sources: Mapping[str, Tensor]
    residual: Tensor
    rate: int
    runs: tuple[Run, ...]
    manifest: Mapping[str, Any]

    @property
    def history(self) -> History:
        """Return the history of the first run, which is the only one unless sources are steered one by
        one.
        """
        return self.runs[0].history if self.runs else NOTHING_TO_STEER

    @property
    def stopped(self) -> str:
        """Return why the last run ended (see `tagbox.methods.steering.Stopped`)."""
        return (self.runs[-1].history if self.runs else NOTHING_TO_STEER).stopped

    def save(
        self,
        folder: str | Path,
        format: str = "wav",
        bits: str | None = None,
        force: bool = False,
        metadata: Metadata | None = None,
    ) -> list[Path]:
        """Write a file for each source, the residual and run.json into `folder`.

        Args:
            folder: created where it is missing.
            format: "wav" or "flac".
            bits: "16", "24" or "float"; unless given, wav is float and flac has 24 bits.
            force: replace files that exist.
            metadata: title, artist and others of the recording; the title of each file then names its track.

        Returns:
            the audio files, sources first.

        Raises:
            OutputExistsError: a file exists and `force` is not given.
            UnwritableOutputError: the folder cannot be written, or integers would clip.
        """
        folder = Path(folder)
        tracks = {**self.sources, "residual": self.residual}
        bits = bits or default_bits(format)
        paths = {name: folder / f"{file_name(name)}.{format}" for name in tracks}
        for path in [*paths.values(), folder / "run.json"]:
            refuse_to_overwrite(path, force)
        loud = [name for name, track in tracks.items() if bits != "float" and peak(track) > 1]
        if loud:
            raise UnwritableOutputError(
                f"{', '.join(loud)} would clip at {bits} bits; write --format wav --bits float instead"
            )
        with written_together(folder / "run.json", self.manifest, list(paths.values())) as temporary:
            for name, path in paths.items():
                described = None if metadata is None else metadata.of_stem(name)
                place = temporary / path.name
                files.write(place, tracks[name], self.rate, bits=cast(Bits, bits), metadata=described)
        return list(paths.values())


@dataclass(frozen=True)
class SavedSeparation:
    """A separation in files.

    Attributes:
        paths: of the audio files, sources first, the residual last.
        rate: Hz.
        runs: of the steering loop, in the order of the segments.
        manifest: contents of run.json.
        note: in what the files differ from what was asked for, if in anything.
    """

    paths: tuple[Path, ...]
    rate: int
    runs: tuple[Run, ...]
    manifest: Mapping[str, Any]
    note: str | None = None

    def read(self) -> Separation:
        """Read the separation back into memory."""
        tracks = [files.read(path).samples for path in self.paths]
        queries = list(self.manifest["tags"])
        sources = dict(zip(queries, tracks[:-1], strict=True))
        return Separation(sources, tracks[-1], self.rate, self.runs, self.manifest)

    @property
    def stopped(self) -> str:
        """Return why the last run ended (see `tagbox.methods.steering.Stopped`)."""
        return (self.runs[-1].history if self.runs else NOTHING_TO_STEER).stopped


@dataclass(frozen=True)
class Transfer:
    """A recording that was re-synthesised towards a tag.

    Attributes:
        audio: (channels, samples) at `rate`, the same in every channel.
        rate: Hz.
        history: of the steering loop, in the first segment where the recording is longer than one.
        manifest: how the result was computed, as `save` writes it beside the audio.
        stopped: why the last run ended.
    """

    audio: Tensor
    rate: int
    history: History
    manifest: Mapping[str, Any]
    stopped: Stopped = "steps"

    def save(
        self,
        path: str | Path,
        bits: str | None = None,
        force: bool = False,
        metadata: Metadata | None = None,
    ) -> Path:
        """Write the audio to `path` and the manifest beside it, with the ending .run.json.

        Args:
            path: ends in .wav or .flac.
            bits: "16", "24" or "float"; unless given, wav is float and flac has 24 bits.
            force: replace files that exist.
            metadata: title, artist and others, which the file then has.

        Raises:
            OutputExistsError: a file exists and `force` is not given.
            UnwritableOutputError: the folder cannot be written, or integers would clip.
        """
        path = Path(path)
        manifest_path = path.with_suffix(".run.json")
        for target in (path, manifest_path):
            refuse_to_overwrite(target, force)
        bits = bits or default_bits(path.suffix.lstrip(".").lower())
        if bits != "float" and peak(self.audio) > 1:
            raise UnwritableOutputError(
                f"{path} would clip at {bits} bits; write a wav file with --bits float instead"
            )
        with written_together(manifest_path, self.manifest, [path]) as temporary:
            place = temporary / path.name
            files.write(place, self.audio, self.rate, bits=cast(Bits, bits), metadata=metadata)
        return path
