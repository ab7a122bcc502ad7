"""Webhook configurations and policies: their defaults, and what keeps one from being stored. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lateen.cluster.api.cel.environment import CelError, Program, compiled
from lateen.cluster.api.cel.literals import plain
from lateen.cluster.api.dynamic.hooks import CONDITION_VARIABLES
from lateen.cluster.api.dynamic.policies import VARIABLES
from lateen.kube.meta import Object
from lateen.kube.validation.errors import FieldError, invalid, required

_POLICIES = ("ValidatingAdmissionPolicy", "MutatingAdmissionPolicy")
_BINDINGS = ("ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding")
_OPERATIONS = ("*", "CREATE", "UPDATE", "DELETE", "CONNECT")
_REASONS = ("Unauthorized", "Forbidden", "Invalid", "RequestEntityTooLarge")
_ACTIONS = ("Deny", "Warn", "Audit")


def defaults(obj: Object) -> None:
    """Fill in what Kubernetes fills in, in place."""
    if obj["kind"] in _POLICIES:
        spec = obj.setdefault("spec", {})
        spec.setdefault("failurePolicy", "Fail")
        _match_defaults(spec.get("matchConstraints"))
    elif obj["kind"] in _BINDINGS:
        _match_defaults((obj.get("spec") or {}).get("matchResources"))
    for hook in obj.get("webhooks") or ():
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("timeoutSeconds", 10)
        _match_defaults(hook)
        if obj["kind"] == "MutatingWebhookConfiguration":
            hook.setdefault("reinvocationPolicy", "Never")
        service = (hook.get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)


def _match_defaults(match: Any) -> None:
    if match is None:
        return
    match.setdefault("matchPolicy", "Equivalent")
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})
    for rule in (*(match.get("rules") or ()), *(match.get("resourceRules") or ()), *(match.get("excludeResourceRules") or ())):
        rule.setdefault("scope", "*")


def faults(obj: Object) -> Iterator[FieldError]:
    """What is wrong with it."""
    if obj["kind"] in _POLICIES:
        mutating = obj["kind"].startswith("Mutating")
        yield from _policy(obj.get("spec") or {})
        yield from _mutations(obj.get("spec") or {}) if mutating else _validations(obj.get("spec") or {})
    elif obj["kind"] in _BINDINGS:
        yield from _binding(obj.get("spec") or {})
        if obj["kind"].startswith("Validating"):
            yield from _actions(obj.get("spec") or {})
    else:
        names: set[str] = set()
        for i, hook in enumerate(obj.get("webhooks") or ()):
            yield from _hook(hook, f"webhooks[{i}]")
            if hook.get("name") in names:
                yield FieldError("FieldValueDuplicate", f"webhooks[{i}].name", value=hook.get("name"))
            names.add(str(hook.get("name")))


def _hook(hook: Mapping[str, Any], at: str) -> Iterator[FieldError]:
    if str(hook.get("name") or "").count(".") < 2:
        yield invalid(f"{at}.name", hook.get("name") or "", "should be a domain with at least three segments separated by dots")
    if not hook.get("sideEffects"):
        yield required(f"{at}.sideEffects", "must specify one of None, NoneOnDryRun")
    elif hook["sideEffects"] not in ("None", "NoneOnDryRun"):
        yield _unsupported(f"{at}.sideEffects", hook["sideEffects"], ("None", "NoneOnDryRun"))
    versions = hook.get("admissionReviewVersions") or ()
    if not versions:
        yield required(f"{at}.admissionReviewVersions", "must specify one of v1, v1beta1")
    elif "v1" not in versions:
        yield invalid(f"{at}.admissionReviewVersions", list(versions), "must include at least one of v1, v1beta1")
    if not 1 <= int(hook.get("timeoutSeconds") or 0) <= 30:
        yield invalid(f"{at}.timeoutSeconds", hook.get("timeoutSeconds"), "the timeout value must be between 1 and 30 seconds")
    if hook.get("failurePolicy") not in ("Fail", "Ignore"):
        yield _unsupported(f"{at}.failurePolicy", hook.get("failurePolicy"), ("Fail", "Ignore"))
    yield from _client(hook.get("clientConfig") or {}, f"{at}.clientConfig")
    yield from _rules(hook.get("rules") or (), f"{at}.rules")
    yield from _conditions(hook, at, CONDITION_VARIABLES)


def _client(client: Mapping[str, Any], at: str) -> Iterator[FieldError]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield required(f"{at}", "exactly one of url or service is required")
    elif url is not None and not str(url).startswith("https://"):
        yield invalid(f"{at}.url", url, "'https' is the only allowed URL scheme; desired format: https://host[/path]")
    elif service is not None:
        for name in ("namespace", "name"):
            if not service.get(name):
                yield required(
                    f"{at}.service.{name}", "service name is required" if name == "name" else "service namespace is required"
                )


def _rules(rules: Any, at: str) -> Iterator[FieldError]:
    for i, rule in enumerate(rules):
        for field in ("operations", "apiGroups", "apiVersions", "resources"):
            if not rule.get(field):
                yield required(f"{at}[{i}].{field}")
        for j, operation in enumerate(rule.get("operations") or ()):
            if operation not in _OPERATIONS:
                yield _unsupported(f"{at}[{i}].operations[{j}]", operation, _OPERATIONS)


def _conditions(spec: Mapping[str, Any], at: str, variables: tuple[str, ...]) -> Iterator[FieldError]:
    for i, condition in enumerate(spec.get("matchConditions") or ()):
        yield from _expression(condition.get("expression"), f"{at}.matchConditions[{i}].expression", variables, "BOOL")


def _expression(text: Any, at: str, variables: tuple[str, ...], wanted: str = "") -> Iterator[FieldError]:
    if not str(text or "").strip():
        yield required(at)
        return
    try:
        program: Program = compiled(str(text), variables)
    except CelError as error:
        yield invalid(at, text, str(error))
        return
    if wanted and program.gives not in (wanted, "DYN"):
        yield invalid(at, text, f"must evaluate to {wanted.lower()}")


def _policy(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    match = spec.get("matchConstraints")
    if match is None:
        yield required("spec.matchConstraints")
    else:
        if not match.get("resourceRules"):
            yield required("spec.matchConstraints.resourceRules")
        yield from _rules(match.get("resourceRules") or (), "spec.matchConstraints.resourceRules")
    if spec.get("failurePolicy") not in ("Fail", "Ignore"):
        yield _unsupported("spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
    for i, variable in enumerate(spec.get("variables") or ()):
        yield from _expression(variable.get("expression"), f"spec.variables[{i}].expression", VARIABLES)
    yield from _conditions(spec, "spec", VARIABLES)


def _mutations(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    if not spec.get("mutations"):
        yield required("spec.mutations", "mutations must contain at least one item")
    if spec.get("reinvocationPolicy") not in ("Never", "IfNeeded"):
        yield required("spec.reinvocationPolicy")
    for i, one in enumerate(spec.get("mutations") or ()):
        kinds = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
        kind = kinds.get(str(one.get("patchType")))
        if kind is None:
            yield _unsupported(f"spec.mutations[{i}].patchType", one.get("patchType"), tuple(kinds))
        elif not one.get(kind):
            yield required(f"spec.mutations[{i}].{kind}", f"must be specified when patchType is {one['patchType']}")
        else:
            text = str(one[kind].get("expression") or "")
            found = _expression(plain(text), f"spec.mutations[{i}].{kind}.expression", VARIABLES)
            yield from (replace(fault, value=text) for fault in found)


def _validations(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        yield required("spec.validations", "validations or auditAnnotations must contain at least one item")
    for i, one in enumerate(spec.get("validations") or ()):
        at = f"spec.validations[{i}]"
        yield from _expression(one.get("expression"), f"{at}.expression", VARIABLES, "BOOL")
        if one.get("messageExpression"):
            yield from _expression(one["messageExpression"], f"{at}.messageExpression", VARIABLES, "STRING")
        if one.get("reason") and one["reason"] not in _REASONS:
            yield _unsupported(f"{at}.reason", one["reason"], _REASONS)
    for i, one in enumerate(spec.get("auditAnnotations") or ()):
        yield from _expression(one.get("valueExpression"), f"spec.auditAnnotations[{i}].valueExpression", VARIABLES)


def _binding(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    if not spec.get("policyName"):
        yield required("spec.policyName")
    ref = spec.get("paramRef")
    if ref is not None and bool(ref.get("name")) == (ref.get("selector") is not None):
        yield required("spec.paramRef", "one of name or selector must be specified")
    if ref is not None and ref.get("parameterNotFoundAction") not in ("Allow", "Deny"):
        yield required("spec.paramRef.parameterNotFoundAction")


def _actions(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    actions = spec.get("validationActions") or ()
    if not actions:
        yield required("spec.validationActions", "at least one validation action is required")
    for i, action in enumerate(actions):
        if action not in _ACTIONS:
            yield _unsupported(f"spec.validationActions[{i}]", action, _ACTIONS)
    if {"Deny", "Warn"} <= set(actions):
        why = "repeating the same validation failure information in the API response and headers serves no purpose"
        yield invalid("spec.validationActions", list(actions), f"must not contain both Deny and Warn ({why})")


def _unsupported(at: str, value: Any, known: tuple[str, ...]) -> FieldError:
    listed = ", ".join(f'"{k}"' for k in known)
    return FieldError("FieldValueNotSupported", at, f"supported values: {listed}", value)
