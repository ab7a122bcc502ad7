"""The ``lateen`` command: a file per command. Heavy imports wait until a command runs, so that ``--help`` is quick.

Exit codes: 0 done, 1 failed, 2 bad input.
"""

from __future__ import annotations

import sys


def main() -> None:
    """The console entry point."""
    from lateen.cli.root import run

    sys.exit(run(sys.argv[1:]))
