"""Defaults of built-in kinds: what Kubernetes fills in before it validates and stores an object. A file per group of kinds.

``apply`` is called by the API server on its private copy, after types were checked. Custom resources default from their schema
(``kube.schemas.apply_defaults``). What needs the cluster's state (cluster IPs, service account tokens) is left to admission.
"""

from __future__ import annotations

from lateen.kube.defaults import core, network, rbac, storage, workloads
from lateen.kube.defaults.base import Rule
from lateen.kube.meta import Object

_RULES: dict[tuple[str, str], Rule] = {**core.RULES, **workloads.RULES, **network.RULES, **storage.RULES, **rbac.RULES}


def apply(obj: Object) -> None:
    """Fill in the defaults of ``obj``'s kind, in place. Kinds without a rule stay as they are. Idempotent."""
    group, _, _ = str(obj.get("apiVersion") or "").rpartition("/")
    rule = _RULES.get((group, str(obj.get("kind"))))
    if rule is not None:
        rule(obj)
