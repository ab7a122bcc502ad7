"""Every check has a story: manifests in which it finds something, with places, and manifests in which it finds nothing.

``stories/ID.in.yaml`` holds both, the failing ones above the line ``# pass``; ``stories/ID.out.yaml`` what is found above it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lateen.check import Check, Config, Finding, Severity, World, all_checks, read, run
from lateen.check.config import from_table
from lateen.kube.yamltext import Source, dump

STORIES = Path(__file__).parent / "stories"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
CHECKS = {c.id: c for c in all_checks()}


def found(check: Check, text: str) -> list[Finding]:
    """What the check says of manifests, settings aside those in a line ``# settings: ...``."""
    config = Config(select=(check.id,))
    for line in text.splitlines():
        if line.startswith("# settings: "):
            name, _, words = line.removeprefix("# settings: ").partition("=")
            config = from_table({"select": [check.id], "settings": {name: words.split(",")}}, "")
    world = World(read(Source("case.yaml", text)), settings=config.settings, now=NOW, live=False)
    report = run(world, [check], config)
    assert report.skipped == ()
    return list(report.findings)


@pytest.mark.parametrize("id_", CHECKS)
def test_a_check_finds_what_is_wrong_and_nothing_else(id_: str, golden: object) -> None:
    bad, line, good = (STORIES / f"{id_}.in.yaml").read_text().partition("\n# pass\n")
    assert line, f"{id_}.in.yaml needs the line '# pass' between what fails and what passes"
    findings = found(CHECKS[id_], bad + "\n")
    assert findings, "the failing story fails nothing"
    assert all(f.mark is not None and f.message and f.fix for f in findings)
    told = [
        {"severity": f.severity.word, "object": f.object, "path": f.path, "where": f.where, "message": f.message} for f in findings
    ]
    golden(STORIES / f"{id_}.out.yaml", dump([told]))  # type: ignore[operator]
    assert [
        f.message for f in found(CHECKS[id_], good) if f.severity > Severity.INFO or CHECKS[id_].severity is Severity.INFO
    ] == []


def test_every_story_belongs_to_a_check() -> None:
    assert {p.name.partition(".")[0] for p in STORIES.iterdir()} <= set(CHECKS)
