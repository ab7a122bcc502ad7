"""Findings for tools: JSON, SARIF 2.1.0 (code hosts), JUnit XML (CI servers)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as Xml  # written only, never read

from lateen.check.finding import Finding, Severity
from lateen.check.registry import Check
from lateen.check.run import Report

_SARIF_LEVEL = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_json(report: Report) -> str:
    """One object: findings, waived, skipped, counts."""
    counts = {s.word: sum(f.severity is s for f in report.findings) for s in reversed(Severity)}
    body = {
        "findings": [_plain(f) for f in report.findings],
        "waived": [{**_plain(f), "reason": f.waived} for f in report.waived],
        "skipped": [{"id": c.id, "needs": need} for c, need in report.skipped],
        "summary": {**counts, "hidden": report.hidden, "objects": report.objects, "checks": report.checks},
        "notes": report.notes,
    }
    return json.dumps(body, indent=2)


def _plain(f: Finding) -> dict[str, Any]:
    found = {"id": f.id, "severity": f.severity.word, "message": f.message, "object": f.object, "path": f.path, "where": f.where}
    place = {"file": f.mark.source.name, "line": f.mark.line + 1, "column": f.mark.column + 1} if f.mark else {}
    return {**found, **place, "fix": f.fix, "fixable": bool(f.edits)}


def sarif(report: Report, checks: Sequence[Check], version: str) -> str:
    """SARIF with a rule per check that found something."""
    used = {f.id for f in (*report.findings, *report.waived)}
    rules = [_rule(c) for c in checks if c.id in used]
    results = [_result(f) for f in (*report.findings, *report.waived)]
    driver = {"name": "lateen", "version": version, "informationUri": "https://lateen.dev", "rules": rules}
    return json.dumps(
        {"$schema": _SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}, indent=2
    )


def _rule(c: Check) -> dict[str, Any]:
    return {
        "id": c.id,
        "shortDescription": {"text": c.title},
        "fullDescription": {"text": c.why},
        "help": {"text": c.fix},
        "defaultConfiguration": {"level": _SARIF_LEVEL[c.severity]},
    }


def _result(f: Finding) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": f.id,
        "level": _SARIF_LEVEL[f.severity],
        "message": {"text": f"{f.object}: {f.message}"},
        "partialFingerprints": {"lateen/v1": f"{f.id}:{f.object}:{f.path}"},
    }
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": f"{f.object}:{f.path}"}]}
    if f.mark:
        region = {"startLine": f.mark.line + 1, "startColumn": f.mark.column + 1, "endColumn": f.mark.column + 1 + f.mark.length}
        location["physicalLocation"] = {"artifactLocation": {"uri": f.mark.source.name}, "region": region}
    if f.waived:
        result["suppressions"] = [{"kind": "inSource", "justification": f.waived}]
    return {**result, "locations": [location]}


def junit(report: Report) -> str:
    """A test case per finding, failed; skipped checks as skipped; one that passed when nothing was found."""
    suite = Xml.Element("testsuite", name="lateen check", errors="0")
    for f in report.findings:
        case = Xml.SubElement(suite, "testcase", name=f"{f.id} {f.object}", classname=f.id)
        failure = Xml.SubElement(case, "failure", type=f.severity.word, message=f.message)
        failure.text = f"{f.where}\n{f.path}\nfix: {f.fix}"
    for check, need in report.skipped:
        case = Xml.SubElement(suite, "testcase", name=check.id, classname=check.id)
        Xml.SubElement(case, "skipped", message=f"for want of {need}")
    if not report.findings:
        Xml.SubElement(suite, "testcase", name=f"{report.checks} checks on {report.objects} objects", classname="lateen.check")
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(report.findings)))
    suite.set("skipped", str(len(report.skipped)))
    Xml.indent(suite)
    return Xml.tostring(suite, encoding="unicode", xml_declaration=True)
