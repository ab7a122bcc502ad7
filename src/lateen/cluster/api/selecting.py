"""Label selectors in queries: ``a=b,c!=d,e in (f,g),!h,i``. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from lateen.cluster.api import statuses
from lateen.kube.meta import Object, labels_of

_TERM = re.compile(
    r"\s*(?:(!)\s*([^\s,=!()<>]+)|([^\s,=!()<>]+)\s*(?:(==|=|!=)\s*([^\s,()]*)|\s(in|notin)\s*\(([^)]*)\))?)\s*(?:,|$)"
)
Test = Callable[[dict[str, str]], bool]


def label_matcher(text: str) -> Callable[[Object], bool]:
    """The test ``text`` makes of an object. BadRequestError if it cannot be read."""
    tests, at = [], 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None:
            raise statuses.bad_request(f"unable to parse requirement: found '{text[at:]}'")
        tests.append(_test(*found.groups()))
        at = found.end()
    return lambda obj: all(test(labels_of(obj)) for test in tests)


def _test(absent: str | None, missing: str, key: str, operator: str | None, value: str, within: str | None, values: str) -> Test:
    if absent:
        return lambda labels: missing not in labels
    if operator:
        return (lambda labels: labels.get(key) != value) if operator == "!=" else (lambda labels: labels.get(key) == value)
    if within:
        wanted = {v.strip() for v in values.split(",")}
        return (lambda labels: labels.get(key) in wanted) if within == "in" else (lambda labels: labels.get(key) not in wanted)
    return lambda labels: key in labels
