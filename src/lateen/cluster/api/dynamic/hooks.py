"""Webhook configurations taken apart: each webhook with its rules, its client and its conditions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lateen.cluster.api.cel.environment import CelError, Program, compiled
from lateen.cluster.api.dynamic.match import Rules, rules_of
from lateen.cluster.api.outward.post import Place, place_of
from lateen.kube.meta import Object

CONDITION_VARIABLES = ("object", "oldObject", "request", "authorizer")


@dataclass(frozen=True, slots=True)
class Condition:
    """One match condition."""

    name: str
    program: Program | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One webhook."""

    name: str
    rules: Rules
    place: Place
    ignores_failure: bool
    side_effects: bool
    again: bool
    conditions: tuple[Condition, ...]


def hooks_of(configurations: Iterable[Object]) -> list[Hook]:
    """The webhooks in the order they are called: by the configurations' names, then as they are listed."""
    ordered = sorted(configurations, key=lambda c: str(c["metadata"]["name"]))
    return [hook for c in ordered for hook in _hooks(c)]


def _hooks(configuration: Object) -> Iterator[Hook]:
    for found in configuration.get("webhooks") or ():
        timeout = found.get("timeoutSeconds")
        yield Hook(
            name=str(found.get("name")),
            rules=rules_of(found, found.get("rules") or ()),
            place=place_of(found.get("clientConfig") or {}, float(10 if timeout is None else timeout)),
            ignores_failure=found.get("failurePolicy") == "Ignore",
            side_effects=found.get("sideEffects") not in ("None", "NoneOnDryRun"),
            again=found.get("reinvocationPolicy") == "IfNeeded",
            conditions=conditions_of(found, CONDITION_VARIABLES),
        )


def conditions_of(spec: Mapping[str, Any], variables: tuple[str, ...]) -> tuple[Condition, ...]:
    """The match conditions of a webhook or a policy. One that cannot be compiled ends in an error whenever it is asked."""
    return tuple(_condition(c, variables) for c in spec.get("matchConditions") or ())


def _condition(found: Mapping[str, Any], variables: tuple[str, ...]) -> Condition:
    try:
        return Condition(str(found.get("name")), compiled(str(found.get("expression")), variables))
    except CelError as error:
        return Condition(str(found.get("name")), None, str(error))


def met(conditions: Iterable[Condition], data: Mapping[str, Any]) -> bool:
    """Whether all hold. CelError when one ends in an error and none is false."""
    problems: list[str] = []
    for condition in conditions:
        try:
            if condition.program is None:
                raise CelError(condition.problem)
            if condition.program.run(data) is not True:
                return False
        except CelError as error:
            problems.append(
                f"expression '{condition.program.text if condition.program else condition.name}' resulted in error: {error}"
            )
    if problems:
        raise CelError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    return True
