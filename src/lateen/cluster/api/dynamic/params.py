"""The parameters of a policy's binding: stored objects, by name or by selector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lateen.cluster.api.call import Backend
from lateen.cluster.api.dynamic.policies import Binding, Policy
from lateen.cluster.api.registry import Served
from lateen.kube.meta import Object
from lateen.kube.selectors import from_selector


def params_of(backend: Backend, policy: Policy, binding: Binding, namespace: str) -> list[Object | None]:
    """What the policy is judged with, once each. LookupError with the API server's words when there is nothing and must be."""
    ref = binding.param_ref
    if policy.param_kind is None or ref is None:
        return [None]
    version, kind = str(policy.param_kind.get("apiVersion") or ""), str(policy.param_kind.get("kind") or "")
    group, _, short = version.rpartition("/")
    served = backend.registry.by_kind(group, kind, short)
    if served is None:
        gvk = f"{version}, Kind={kind}"
        raise LookupError(f"failed to configure policy: failed to find resource referenced by paramKind: '{gvk}'")
    if served.webhook is not None and served.resource != served.stored:
        raise LookupError(f"failed to configure policy: {version}, Kind={kind} is not the version that is stored")
    place = str(ref.get("namespace") or namespace) if served.resource.namespaced else ""
    if served.resource.namespaced and not place:
        raise LookupError(
            "failed to configure binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        )
    found: list[Object | None] = list(
        _named(backend, served, place, str(ref["name"])) if ref.get("name") else _chosen(backend, served, place, ref)
    )
    if not found and ref.get("parameterNotFoundAction") == "Deny":
        raise LookupError("failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction")
    return found


def _named(backend: Backend, served: Served, namespace: str, name: str) -> list[Object]:
    record = backend.storage.get(served.key(namespace, name))
    return [served.from_storage(record.obj)] if record is not None else []


def _chosen(backend: Backend, served: Served, namespace: str, ref: Mapping[str, Any]) -> list[Object]:
    takes = from_selector(ref.get("selector"))
    records = backend.storage.list(served.prefix(namespace)).records
    return [served.from_storage(r.obj) for r in records if takes(r.obj["metadata"].get("labels") or {})]
