"""Placeholder."""

import argparse
from benchmarks.robustness import damaged_inputs
parser = argparse.ArgumentParser()
parser.add_argument("--count", type=int, default=10000)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--only")
parser.add_argument("--jobs", type=int, default=1)
args = parser.parse_args()
counts = damaged_inputs.run(args.count, args.seed, args.only, args.jobs)
for name, c in counts.items():
    for f in c.faults: print(name, "|", f)
