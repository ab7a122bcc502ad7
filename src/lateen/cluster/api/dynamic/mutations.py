"""MutatingAdmissionPolicies at work: what each mutation makes of an object, by an applied configuration or a JSON patch. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lateen.cluster.api.cel.environment import CelError
from lateen.cluster.api.dynamic.hooks import met
from lateen.cluster.api.dynamic.policies import Mutation, Policy, fill
from lateen.kube.managedfields.apply import merge
from lateen.kube.meta import Object
from lateen.kube.patches.json import json_patch
from lateen.kube.schemas import SchemaNode


class MutationError(Exception):
    """A mutation that cannot be carried out."""


def mutated(
    policy: Policy, data: Mapping[str, Any], obj: Object, *, params: Sequence[Object | None], node: SchemaNode | None
) -> Object:
    """The object as the policy leaves it; the same one where it changes nothing. MutationError unless failures are ignored."""
    try:
        for param in params:
            obj = _by(policy, {**data, "params": param}, obj, node)
    except (CelError, MutationError) as error:
        if not policy.ignores_failure:
            raise MutationError(str(error)) from error
    return obj


def _by(policy: Policy, data: dict[str, Any], obj: Object, node: SchemaNode | None) -> Object:
    if policy.problem:
        raise MutationError(policy.problem)
    if not met(policy.conditions, {**data, "object": obj, "variables": {}}):
        return obj
    for mutation in policy.mutations:
        now = {**data, "object": obj, "variables": {}}
        fill(policy, now)
        obj = _one(mutation, now, obj, node)
    return obj


def _one(mutation: Mutation, data: Mapping[str, Any], obj: Object, node: SchemaNode | None) -> Object:
    found = mutation.program.run(data)
    if mutation.applies:
        if not isinstance(found, dict):
            raise MutationError("invalid ApplyConfiguration: expected an object")
        return _applied(obj, found, node)
    try:
        made = json_patch(obj, _operations(found))
    except ValueError as error:
        raise MutationError(f"JSON Patch: {error}") from error
    if not isinstance(made, dict):
        raise MutationError("JSON Patch: the patched value is not an object")
    return made


def _applied(obj: Object, config: Object, node: SchemaNode | None) -> Object:
    fixed = [k for k in ("apiVersion", "kind") if k in config and config[k] != obj.get(k)]
    if fixed:
        raise MutationError(f"invalid ApplyConfiguration: may not mutate {fixed[0]}")
    result: Object = merge(node, obj, config)
    return result


def _operations(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise MutationError("JSON Patch: expected a list of JSONPatch")
    return [{k: v for k, v in operation.items() if not (k == "from" and v == "")} for operation in found]
