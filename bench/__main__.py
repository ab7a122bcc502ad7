"""``python -m bench [--list] [--check] [name ...]``: run benches (all of them by default)."""

from __future__ import annotations

import argparse
import sys

from bench import harness


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help="benches to run (default: all)")
    parser.add_argument("--list", action="store_true", help="list the benches")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure misses its target")
    options = parser.parse_args()
    benches = harness.find()
    if options.list:
        for name, bench in benches.items():
            print(f"{name:12} {(bench.__doc__ or '').strip().splitlines()[0]}")
        return 0
    if unknown := [n for n in options.names if n not in benches]:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(benches)}")
    missed = 0
    for name in options.names or benches:
        missed += harness.run(name, benches[name])
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
