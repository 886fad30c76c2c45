"""Compare what is decoded of damaged recordings with what ffmpeg decodes of them, sample by sample."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.robustness.damage import damage, random_for
from benchmarks.robustness.readers import read_audio
from benchmarks.robustness.seeds import Target, make_targets
from tagbox.audio.readers import FileReader
from tagbox.errors import TagBoxError

TOLERANCE = 0.01
"""Of samples: decoders of lossy formats round in different ways, those of ADPCM by up to 0.004."""


@dataclass
class Comparison:
    """What came of the damaged files of one format.

    Attributes:
        tried: files.
        same: as many samples as ffmpeg's, and the same; or none from both.
        other_samples: as many, but not the same.
        more: samples than ffmpeg's.
        fewer: samples than ffmpeg's.
        refused: nothing is read of what ffmpeg decodes.
        faults: those that are not the same: the input's number, our count, ffmpeg's, and our note.
    """

    tried: int = 0
    same: int = 0
    other_samples: int = 0
    more: int = 0
    fewer: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)


def run(
    count: int,
    seed: int,
    only: str | None = None,
    number: int | None = None,
    report: Callable[[dict[str, Comparison]], None] = lambda counts: None,
) -> dict[str, Comparison] | str:
    """Compare `count` damaged files of each format; return the counts by format, or why there are none.

    Args:
        count: of each format.
        seed: of the damage.
        only: formats whose names hold this.
        number: only the file of this number of each format.
        report: called with all counts whenever a format is done.
    """
    if shutil.which("ffmpeg") is None:
        return "it takes ffmpeg"
    numbers = range(count) if number is None else [number]
    results: dict[str, Comparison] = {}
    for target in make_targets():
        if target.read is read_audio and (only is None or only in target.name):
            results[target.name] = Comparison()
            for each in numbers:
                _compare(target, seed, each, results[target.name])
            report(results)
    return results


def _compare(target: Target, seed: int, number: int, result: Comparison) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"damaged.{target.ending}")
        path.write_bytes(damage(target.data, random_for(seed, target.name, number)))
        ours, why = _read(path)
        theirs = _decoded_by_ffmpeg(path)
    theirs = theirs[: theirs.size // len(ours) * len(ours)].reshape(-1, len(ours)).T
    result.tried += 1
    if ours.shape == theirs.shape and np.allclose(ours, theirs, atol=TOLERANCE, rtol=0, equal_nan=True):
        result.same += 1
        return
    found, wanted = ours.shape[1], theirs.shape[1]
    result.refused += found == 0
    result.fewer += 0 < found < wanted
    result.more += found > wanted
    result.other_samples += found == wanted
    result.faults.append(f"input {number}: {found} samples, ffmpeg has {wanted}; {why}")


def _read(path: Path) -> tuple[np.ndarray, str]:
    """Decode a recording; return its samples (channels, samples) and its note, or why it is refused."""
    try:
        reader = FileReader.of(path)
        return next(iter(reader.read_spans([(0, reader.samples)]))).numpy(), str(reader.note)
    except TagBoxError as error:
        return np.empty((1, 0), np.float32), str(error).replace(str(path), path.name)


def _decoded_by_ffmpeg(path: Path) -> np.ndarray:
    command = ["ffmpeg", "-v", "quiet", "-nostdin", "-i", str(path), "-map", "0:a:0"]
    command += ["-af", "asetpts=N/SR/TB", "-c:a", "pcm_f32le", "-f", "f32le", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    return np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], "<f4")
