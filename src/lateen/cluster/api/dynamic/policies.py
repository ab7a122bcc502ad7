"""ValidatingAdmissionPolicies taken apart and judged: expressions in CEL over one write, once for each binding and parameter.

Pure; ``gate`` gathers bindings and parameters and does what their actions say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lateen.cluster.api.cel.environment import CelError, Program, compiled
from lateen.cluster.api.cel.literals import plain
from lateen.cluster.api.dynamic.hooks import Condition, conditions_of, met
from lateen.cluster.api.dynamic.match import Rules, rules_of
from lateen.kube.meta import Object

VARIABLES = ("object", "oldObject", "request", "params", "namespaceObject", "authorizer", "variables")
_CODES = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}


@dataclass(frozen=True, slots=True)
class Validation:
    """One expression that must hold."""

    program: Program
    message: str
    told: Program | None
    reason: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change: an applied configuration, or a JSON patch."""

    program: Program
    applies: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy, of validations or of mutations. ``problem`` says why it cannot be judged at all; ``again``: it wants to see what
    others change after it."""

    name: str
    rules: Rules
    param_kind: Mapping[str, Any] | None
    conditions: tuple[Condition, ...]
    variables: tuple[tuple[str, Program], ...]
    validations: tuple[Validation, ...]
    mutations: tuple[Mutation, ...]
    ignores_failure: bool
    again: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One binding: ``rules`` narrow its policy's, ``actions`` are what a failed validation leads to."""

    name: str
    policy: str
    rules: Rules | None
    param_ref: Mapping[str, Any] | None
    actions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Finding:
    """A validation that does not hold."""

    message: str
    reason: str = "Invalid"

    @property
    def code(self) -> int:
        """The HTTP status of a refusal for this reason."""
        return _CODES.get(self.reason, 422)


def policy_of(obj: Object) -> Policy:
    """A stored policy."""
    spec, name = obj.get("spec") or {}, str(obj["metadata"]["name"])
    constraints = spec.get("matchConstraints") or {}
    variables: tuple[tuple[str, Program], ...] = ()
    validations: tuple[Validation, ...] = ()
    mutations: tuple[Mutation, ...] = ()
    problem = ""
    try:
        variables = tuple((str(v["name"]), compiled(str(v["expression"]), VARIABLES)) for v in spec.get("variables") or ())
        validations = tuple(_validation(v) for v in spec.get("validations") or ())
        mutations = tuple(_mutation(m) for m in spec.get("mutations") or ())
    except CelError as error:
        problem = str(error)
    return Policy(
        name=name,
        rules=rules_of(constraints, constraints.get("resourceRules") or ()),
        param_kind=spec.get("paramKind"),
        conditions=conditions_of(spec, VARIABLES),
        variables=variables,
        validations=validations,
        mutations=mutations,
        again=spec.get("reinvocationPolicy") == "IfNeeded",
        ignores_failure=spec.get("failurePolicy") == "Ignore",
        problem=problem,
    )


def _mutation(found: Mapping[str, Any]) -> Mutation:
    applies = found.get("patchType") == "ApplyConfiguration"
    text = str((found.get("applyConfiguration" if applies else "jsonPatch") or {}).get("expression") or "")
    return Mutation(compiled(plain(text), VARIABLES), applies)


def _validation(found: Mapping[str, Any]) -> Validation:
    told = found.get("messageExpression")
    return Validation(
        compiled(str(found["expression"]), VARIABLES),
        str(found.get("message") or ""),
        compiled(str(told), VARIABLES) if told else None,
        str(found.get("reason") or "Invalid"),
    )


def binding_of(obj: Object) -> Binding:
    """A stored binding."""
    spec = obj.get("spec") or {}
    found = spec.get("matchResources")
    everything = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*", "*/*"]}]
    return Binding(
        name=str(obj["metadata"]["name"]),
        policy=str(spec.get("policyName")),
        rules=rules_of(found, found.get("resourceRules") or everything) if found else None,
        param_ref=spec.get("paramRef"),
        actions=frozenset(spec.get("validationActions") or ()),
    )


def judge(policy: Policy, data: Mapping[str, Any], params: Sequence[Object | None]) -> list[Finding]:
    """What does not hold, for every parameter. Errors count as failures unless the policy ignores them."""
    if policy.problem:
        return [] if policy.ignores_failure else [Finding(policy.problem)]
    return [f for param in params for f in _judge(policy, {**data, "params": param, "variables": {}})]


def _judge(policy: Policy, data: dict[str, Any]) -> Iterable[Finding]:
    try:
        if not met(policy.conditions, data):
            return []
    except CelError as error:
        return [] if policy.ignores_failure else [Finding(str(error))]
    problems = fill(policy, data)
    return list(_failures(policy, data, problems))


def fill(policy: Policy, data: dict[str, Any]) -> dict[str, str]:
    """Work the variables out, each seeing those before it; what went wrong, by name."""
    problems: dict[str, str] = {}
    values: dict[str, Any] = data["variables"]
    for name, program in policy.variables:
        try:
            values[name] = program.run(data)
        except CelError as error:
            problems[name] = f"composited variable {name!r} fails to evaluate: {error}".replace("'", '"')
    return problems


def _failures(policy: Policy, data: Mapping[str, Any], problems: Mapping[str, str]) -> Iterator[Finding]:
    for one in policy.validations:
        try:
            if one.program.run(data) is True:
                continue
        except CelError as error:
            if not policy.ignores_failure:
                yield Finding(f"expression '{one.program.text}' resulted in error: {_cause(str(error), problems)}")
            continue
        yield Finding(_message(one, data), one.reason)


def _cause(error: str, problems: Mapping[str, str]) -> str:
    """The error, or that of the variable that it could not find."""
    return next((text for name, text in problems.items() if error == f"no such key: {name}"), error)


def _message(one: Validation, data: Mapping[str, Any]) -> str:
    if one.told is not None:
        try:
            text = one.told.run(data)
        except CelError:
            text = ""
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text
    return one.message or f"failed expression: {one.program.text.strip()}"
