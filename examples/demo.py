"""What ``make demo`` runs: hear what is in a recording, take the violin out, and check against the truth.

The recording is a violin and piano duet that the repository carries with its stems (examples/README.md).
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
    """Tag, separate, compare."""
    duet = audio.read(HERE / "duet" / "mixture.flac")
    truth = audio.read(HERE / "duet" / f"{TAG}.flac")
    print("What is heard in examples/duet/mixture.flac:")
    for tag, probability in tagbox.tag(duet.samples, duet.rate, top=6).items():
        print(f"  {probability:5.0%}  {tag}")

    print(f"\nTaking out: {TAG}")
    output = Output()
    with RunReporter("duet", output, presets.find("default").settings) as reporter:
        result = tagbox.separate(duet.samples, duet.rate, tags=[TAG], on_step=reporter.step)
    folder = Path.cwd() / "out" / "demo"
    written = result.save(folder, force=True)
    report_run(output, result.manifest, [path.relative_to(Path.cwd()) for path in written])

    before, after = (si_sdr(x, truth.samples) for x in (duet.samples, result.sources[TAG]))
    print(f"\nSI-SDR of the {TAG} (the stem is known here): {before:+.1f} dB before, {after:+.1f} dB after")
    print(f"Took {result.manifest['seconds']['all']:.0f} s for {duet.duration:.0f} s of audio.")


if __name__ == "__main__":
    try:
        main()
    except TagBoxError as error:
        sys.exit(f"demo: {error}")
