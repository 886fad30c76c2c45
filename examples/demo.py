"""The demo of ``make demo``: predict tags, separate the violin, and compare it with the reference stem.

The recording is a duet of violin and piano whose stems are in the repository, too (examples/README.md).
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
TAG = "violin"


def main() -> None:
    """Run the demo and print its results."""
    duet = audio.read(HERE / "duet" / "mixture.flac")
    reference = audio.read(HERE / "duet" / f"{TAG}.flac")
    print("Predicted tags of examples/duet/mixture.flac:")
    for tag, probability in tagbox.tag(duet.samples, duet.rate, top=6).items():
        print(f"  {probability:5.0%}  {tag}")

    print(f"\nSeparating: {TAG}")
    output = Output()
    with RunReporter("duet", output, presets.find("default").settings) as reporter:
        result = tagbox.separate(duet.samples, duet.rate, tags=[TAG], on_step=reporter.step)
    folder = Path.cwd() / "out" / "demo"
    written = result.save(folder, force=True)
    report_run(output, result.manifest, [path.relative_to(Path.cwd()) for path in written])

    before, after = (si_sdr(track, reference.samples) for track in (duet.samples, result.sources[TAG]))
    print(f"\nSI-SDR of the {TAG} against its stem: {before:+.1f} dB before, {after:+.1f} dB after")
    print(f"Took {result.manifest['seconds']['all']:.0f} s for {duet.duration:.0f} s of audio.")


if __name__ == "__main__":
    try:
        main()
    except TagBoxError as error:
        sys.exit(f"demo: {error}")
