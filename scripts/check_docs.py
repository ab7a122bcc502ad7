"""Write the list of checks in docs/check.md from the checks themselves. ``--check`` only says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from lateen.check import all_checks
from lateen.check.registry import THEMES

TARGET = Path(__file__).parents[1] / "docs" / "check.md"
MARK = "<!-- written by scripts/check_docs.py from here on -->\n"


def listing() -> str:
    """The tables, one per theme."""
    checks = all_checks()
    parts = [f"\n{len(checks)} checks. `lateen check --explain ID` says why each matters.\n"]
    for theme, title in THEMES.items():
        rows = [f"| {c.id} | {c.severity.word} | {c.title} | {c.fix} |".replace("\n", " ") for c in checks if c.theme == theme]
        if rows:
            parts += [
                f"\n### {title[0].upper()}{title[1:]}\n",
                "| id | severity | what | how to fix it |",
                "| --- | --- | --- | --- |",
                *rows,
            ]
    return "\n".join(parts) + "\n"


def main() -> int:
    """0 when the list is what the checks say (after writing it, without --check)."""
    head, mark, old = TARGET.read_text().partition(MARK)
    new = listing()
    if "--check" in sys.argv:
        print("docs/check.md is up to date" if old == new else "docs/check.md is out of date: run scripts/check_docs.py")
        return int(old != new)
    TARGET.write_text(head + (mark or MARK) + new)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
