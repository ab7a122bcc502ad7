"""Checks of one's own: CEL rules from the configuration become checks like any other.

A rule: ``{id, expr, message, kinds?, severity?, fix?, path?}``. ``expr`` must hold for ``object``; ``objects`` is the list of all.
Checks in Python are functions entered with ``lateen.check.check``; the CLI imports the files or modules of ``plugins``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lateen.check.config import severity
from lateen.check.finding import Hit
from lateen.check.manifest import Path
from lateen.check.registry import CHECKS, Check
from lateen.check.world import World
from lateen.errors import InputError

_KEYS = {"id", "expr", "message", "kinds", "severity", "fix", "path", "why"}


def from_rule(rule: Mapping[str, Any]) -> Check:
    """The check of a rule. InputError when it lacks something or its expression cannot be read."""
    where = f"rule {rule.get('id', '?')}"
    if lacking := [k for k in ("id", "expr", "message") if not rule.get(k)]:
        raise InputError(f"a rule needs {', '.join(lacking)}", where=where)
    if unknown := sorted(set(rule) - _KEYS):
        raise InputError(f"a rule has no field {unknown[0]!r}", where=where, hint=f"known: {', '.join(sorted(_KEYS))}")
    if rule["id"] in CHECKS:
        raise InputError(f"{rule['id']} is a check of lateen", where=where, hint="choose another id")
    return Check(
        id=str(rule["id"]),
        title=str(rule["message"]),
        severity=severity(str(rule.get("severity", "warning")), where),
        why=str(rule.get("why") or "a rule of your own"),
        fix=str(rule.get("fix") or f"make it so that {rule['expr']}"),
        function=_function(rule, where),
    )


def _function(rule: Mapping[str, Any], where: str) -> Callable[[World], Iterator[Hit]]:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_optional, ext_strings

    dynamic = {"object": cel.Type.DYN, "objects": cel.Type.DYN}
    environment = cel.NewEnv(variables=dynamic, extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional()])
    try:
        program = environment.compile(str(rule["expr"]))
    except RuntimeError as error:
        raise InputError(f"the expression cannot be read: {str(error).splitlines()[0]}", where=where) from error
    everything = re.search(r"\bobjects\b", str(rule["expr"])) is not None
    kinds, path = tuple(rule.get("kinds") or ()), _steps(str(rule.get("path", "")))

    def judge(world: World) -> Iterator[Hit]:
        all_objects = [dict(m.data) for m in world.objects] if everything else []
        for m in world.objects:
            if not kinds or m.kind in kinds:
                result = program.eval(data={"object": dict(m.data), "objects": all_objects})
                if result.type() == cel.Type.ERROR:
                    yield Hit(m, path, f"{rule['message']} (the rule failed: {result.value()})")
                elif result.value() is not True:
                    yield Hit(m, path, str(rule["message"]))

    return judge


def _steps(path: str) -> Path:
    return tuple(int(p) if p.isdigit() else p for p in re.findall(r"[^.\[\]]+", path))
