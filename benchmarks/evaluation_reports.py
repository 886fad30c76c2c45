"""Build the reports of evaluations from their run.json and results.jsonl.

    python -m benchmarks.evaluation_reports [FOLDER...]

FOLDER holds the results of `tagbox evaluate`; all folders of benchmarks/evaluation unless given. Writes
table.csv, report.md and report.html into each.
"""

import argparse
from pathlib import Path

from tagbox.evaluation.reports.writer import write_reports
from tagbox.evaluation.result_store import REQUEST_FILE, read_records, read_request
from tagbox.evaluation.summary import summarise

COMMITTED = Path(__file__).resolve().parent / "evaluation"


def build_reports(folder: Path) -> list[Path]:
    """Write the reports of the evaluation in `folder`, and return their paths."""
    records = read_records(folder)
    return write_reports(folder, read_request(folder), records, summarise(records))


def main() -> None:
    """Build the reports and print their paths."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*")
    folders = parser.parse_args().folders or sorted(
        path.parent for path in COMMITTED.glob(f"*/{REQUEST_FILE}")
    )
    for folder in folders:
        for path in build_reports(folder):
            print(path)


if __name__ == "__main__":
    main()
