"""Findings for people: the place, what is wrong, the line with a caret, how to fix it; then a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from lateen.check.finding import Finding, Severity
from lateen.check.run import Report

Paint = Callable[[str, str], str]


def plain(text: str, mood: str) -> str:
    """No colours."""
    return text


def text(report: Report, paint: Paint = plain, *, excerpts: bool = True) -> str:
    """The whole report."""
    parts = [_finding(f, paint, excerpts) for f in report.findings]
    return "\n".join([*parts, *_summary(report, paint)])


def _finding(f: Finding, paint: Paint, excerpts: bool) -> str:
    mood = {Severity.ERROR: "bad", Severity.WARNING: "busy", Severity.INFO: "dim"}[f.severity]
    lines = [f"{paint(f.severity.word, mood)} {f.id} {f.object}: {f.message}"]
    if f.where:
        lines.append(f"  --> {f.where}")
    if excerpts and f.mark is not None:
        lines.append(f"  {f.mark.excerpt()}")  # its second line is indented already
    lines.append(f"  fix: {f.fix}")
    return "\n".join(lines) + "\n"


def _summary(report: Report, paint: Paint) -> Iterator[str]:
    counts = Counter(f.severity for f in report.findings)
    words = ", ".join(f"{counts[s]} {_noun(s.word, counts[s])}" for s in sorted(counts, reverse=True)) or paint(
        "no findings", "good"
    )
    yield f"{words} ({report.checks} {_noun('check', report.checks)} on {report.objects} {_noun('object', report.objects)})"
    if report.hidden:
        yield f"{report.hidden} of lower severity not shown: --profile strict shows them"
    for f in report.waived:
        yield f"waived: {f.id} {f.object}: {f.waived}"
    needs: dict[str, list[str]] = {}
    for check, need in report.skipped:
        needs.setdefault(need, []).append(check.id)
    for need, ids in needs.items():
        yield f"skipped, for want of {need}: {', '.join(ids)}"
    yield from (f"note: {n}" for n in report.notes)


def _noun(word: str, count: int) -> str:
    return word if word == "info" or count == 1 else f"{word}s"
