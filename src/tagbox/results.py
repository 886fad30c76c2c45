"""What a run hands back, and how it is written: whole folders of audio, with what made them in run.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from tagbox.atomic_files import refuse_to_overwrite, write_json
from tagbox.audio import files
from tagbox.audio.files import Bits, default_bits, file_name, peak
from tagbox.errors import TagBoxError
from tagbox.methods.steering import NOTHING_TO_STEER, History, Run, Stopped


@dataclass(frozen=True)
class Separation:
    """Sources by tag, and what is left.

    Attributes:
        sources: for each tag, (channels, samples) at `rate`.
        residual: (channels, samples): the recording minus all sources.
        rate: Hz.
        runs: the loop's histories, one for all sources together or one for each.
        manifest: what made this, as it is written to run.json.
    """

    sources: Mapping[str, Tensor]
    residual: Tensor
    rate: int
    runs: tuple[Run, ...]
    manifest: Mapping[str, Any]

    @property
    def history(self) -> History:
        """Of the first run: the only one, unless each source was steered on its own."""
        return self.runs[0].history if self.runs else NOTHING_TO_STEER

    @property
    def stopped(self) -> str:
        """Why the last run ended (see `tagbox.methods.steering.Stopped`)."""
        return (self.runs[-1].history if self.runs else NOTHING_TO_STEER).stopped

    def save(
        self,
        folder: str | Path,
        format: str = "wav",
        bits: str | None = None,
        force: bool = False,
    ) -> list[Path]:
        """Write a file for each source, the residual and run.json into `folder`.

        Args:
            folder: made where it is missing.
            format: "wav" or "flac".
            bits: "16", "24" or "float"; left out, wav is float and flac 24.
            force: replace files that exist.

        Returns:
            the audio files written, sources first.

        Raises:
            TagBoxError: a file exists and `force` is not given, or cannot be written.
        """
        folder = Path(folder)
        tracks = {**self.sources, "residual": self.residual}
        bits = bits or default_bits(format)
        paths = {name: folder / f"{file_name(name)}.{format}" for name in tracks}
        for path in [*paths.values(), folder / "run.json"]:
            refuse_to_overwrite(path, force)
        loud = [name for name, track in tracks.items() if bits != "float" and peak(track) > 1]
        if loud:
            raise TagBoxError(
                f"{', '.join(loud)} would clip at {bits} bits; write --format wav --bits float instead"
            )
        for name, path in paths.items():
            files.write(path, tracks[name], self.rate, bits=cast(Bits, bits), force=force)
        write_json(self.manifest, folder / "run.json", force)
        return list(paths.values())


@dataclass(frozen=True)
class SavedSeparation:
    """A separation that is on disk.

    Attributes:
        paths: of the audio files, sources first, the residual last.
        rate: Hz.
        runs: the loop's histories, in the order of the segments.
        manifest: what run.json says.
        note: what had to be different from what was asked for, if anything.
    """

    paths: tuple[Path, ...]
    rate: int
    runs: tuple[Run, ...]
    manifest: Mapping[str, Any]
    note: str | None = None

    def read(self) -> Separation:
        """The separation, read back into memory."""
        tracks = [files.read(path).samples for path in self.paths]
        names = list(self.manifest["tags"])
        return Separation(
            dict(zip(names, tracks[:-1], strict=True)), tracks[-1], self.rate, self.runs, self.manifest
        )

    @property
    def stopped(self) -> str:
        """Why the last run ended (see `tagbox.methods.steering.Stopped`)."""
        return (self.runs[-1].history if self.runs else NOTHING_TO_STEER).stopped


@dataclass(frozen=True)
class Transfer:
    """Music re-synthesised towards a tag.

    Attributes:
        audio: (channels, samples) at `rate`; what the generator plays, the same in every channel.
        rate: Hz.
        history: of the loop, in the first segment where the recording is longer than one.
        manifest: what made this, as it is written beside the audio.
        stopped: why the last loop ended.
    """

    audio: Tensor
    rate: int
    history: History
    manifest: Mapping[str, Any]
    stopped: Stopped = "steps"

    def save(self, path: str | Path, bits: str | None = None, force: bool = False) -> Path:
        """Write the audio to `path` (wav or flac) and what made it to `path` with the ending .run.json.

        Raises:
            TagBoxError: a file exists and `force` is not given, or cannot be written.
        """
        path = Path(path)
        manifest = path.with_suffix(".run.json")
        for target in (path, manifest):
            refuse_to_overwrite(target, force)
        bits = bits or default_bits(path.suffix.lstrip(".").lower())
        track = self.audio
        if bits != "float" and peak(track) > 1:
            raise TagBoxError(f"{path} would clip at {bits} bits; write a wav file with --bits float instead")
        files.write(path, track, self.rate, bits=cast(Bits, bits), force=force)
        write_json(self.manifest, manifest, force)
        return path
