"""ClusterRoles that aggregate others: their ``rules`` show what they select. Follows kube-controller-manager.

The API server decides by what is selected, at once (``api.auth.rbac``); people and tools read the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lateen.cluster.controllers.kit import Kit
from lateen.kube.meta import Key, Object, key_of, labels_of, meta
from lateen.kube.resources import CLUSTERROLES
from lateen.kube.selectors import from_selector
from lateen.reconcile import DONE, Controller, Result, Source


def controller(kit: Kit) -> Controller:
    """The controller: any role's change may be one of those that select it."""
    roles = kit.informer(CLUSTERROLES)

    def aggregating(_: Object) -> Iterable[Key]:
        return [key_of(r) for r in roles.list() if r.get("aggregationRule")]

    return Controller(
        name="clusterrole-aggregation",
        reconciler=AggregationReconciler(kit),
        sources=[Source(informer=roles, keys=aggregating)],
        clock=kit.clock,
    )


class AggregationReconciler:
    """One aggregating role's rules."""

    def __init__(self, kit: Kit) -> None:
        self._kit, self._roles = kit, kit.informer(CLUSTERROLES)

    async def reconcile(self, key: Key) -> Result:
        role = self._roles.get(key)
        if role is None or not role.get("aggregationRule"):
            return DONE
        rules = aggregated(role, self._roles.list())
        if rules != (role.get("rules") or []):
            await self._kit.client.update(CLUSTERROLES, {**role, "rules": rules})
        return DONE


def aggregated(role: Object, roles: Sequence[Object]) -> list[dict[str, Any]]:
    """The rules of the roles that ``role`` selects, each once, by selector and name."""
    rules: list[dict[str, Any]] = []
    for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
        matches = from_selector(selector)
        chosen = [r for r in roles if matches(labels_of(r)) and meta(r)["name"] != meta(role)["name"]]
        for rule in (rule for r in sorted(chosen, key=key_of) for rule in r.get("rules") or ()):
            if rule not in rules:
                rules.append(rule)
    return rules
