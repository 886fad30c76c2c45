"""The demo of ``make demo``: predict tags, separate, and compare the result with the reference stem.

Two recordings whose stems are in the repository, too (examples/README.md): a rendered duet of violin and
piano, and a real song.
"""

import sys
from pathlib import Path

import tagbox
from tagbox import audio, presets
from tagbox.cli.output import Output
from tagbox.cli.progress import RunReporter
from tagbox.cli.run_report import report_run
from tagbox.errors import TagBoxError
from tagbox.evaluation.metrics import si_sdr

HERE = Path(__file__).resolve().parent
RECORDINGS = (("duet", "violin"), ("real", "vocals"))
"""Folders beside this file, and the stem to separate."""


def separate(name: str, tag: str, output: Output) -> None:
    """Separate a recording, save the result, and print how close it is to the stem."""
    mixture = audio.read(HERE / name / "mixture.flac")
    reference = audio.read(HERE / name / f"{tag}.flac")
    print(f"Predicted tags of examples/{name}/mixture.flac:")
    for predicted, probability in tagbox.tag(mixture.samples, mixture.rate, top=6).items():
        print(f"  {probability:5.0%}  {predicted}")

    print(f"\nSeparating: {tag}")
    with RunReporter(name, output, presets.find("default").settings) as reporter:
        result = tagbox.separate(mixture.samples, mixture.rate, tags=[tag], on_step=reporter.step)
    written = result.save(Path.cwd() / "out" / "demo" / name, force=True)
    report_run(output, result.manifest, [path.relative_to(Path.cwd()) for path in written])

    before, after = (si_sdr(track, reference.samples) for track in (mixture.samples, result.sources[tag]))
    print(f"\nSI-SDR of the {tag} against the stem: {before:+.1f} dB before, {after:+.1f} dB after")
    print(f"Took {result.manifest['seconds']['all']:.0f} s for {mixture.duration:.0f} s of audio.\n")


def main() -> None:
    """Run the demo on every recording."""
    output = Output()
    for name, tag in RECORDINGS:
        separate(name, tag, output)


if __name__ == "__main__":
    try:
        main()
    except TagBoxError as error:
        sys.exit(f"demo: {error}")
