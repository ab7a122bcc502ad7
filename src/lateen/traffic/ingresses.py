"""Statuses and events of Ingresses: where each can be reached once the proxies listen there, and which of its references do not
hold. The controller translates them (``translate.ingress``) and asks here what their statuses shall be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lateen.kube.meta import Key, Object, key_of
from lateen.reconcile.events import Recorder
from lateen.traffic.statuses import Programmed
from lateen.traffic.translate.conditions import worst
from lateen.traffic.translate.ingress import IngressStatus, TranslatedIngresses


class Ingresses:
    """``done`` is the last translation; ``address`` the one that Ingresses are given."""

    def __init__(self, recorder: Recorder, address: str) -> None:
        self._recorder, self._address = recorder, address
        self._told: dict[Key, tuple[str, ...]] = {}
        self.done = TranslatedIngresses()

    def update(self, done: TranslatedIngresses) -> set[Key]:
        """Take a new translation; whose status may have changed."""
        old, self.done = self.done.statuses, done
        self._told = {k: words for k, words in self._told.items() if k in done.statuses}
        return {k for k in {*old, *done.statuses} if old.get(k) != done.statuses.get(k)}

    def status(self, obj: Object, programmed: Programmed) -> tuple[dict[str, Any] | None, bool]:
        """What the status shall be (None: as it is), and whether that is the last word until something changes."""
        wanted = self.done.statuses.get(key_of(obj))
        if wanted is None:
            return ({"loadBalancer": {"ingress": None}} if self._ours(obj) else None), True
        self._tell(obj, wanted)
        if worst(programmed(p) for p in wanted.places) is not None:
            return None, False
        ports = [{"port": p, "protocol": "TCP"} for p in wanted.ports]
        return {"loadBalancer": {"ingress": [{"ip": wanted.address, "ports": ports}]}}, True

    def _ours(self, obj: Object) -> bool:
        return any(entry.get("ip") == self._address for entry in _entries(obj))

    def _tell(self, obj: Object, wanted: IngressStatus) -> None:
        if self._told.get(key_of(obj), ()) != wanted.problems:
            self._told[key_of(obj)] = wanted.problems
            for words in wanted.problems:
                reason, _, message = words.partition(": ")
                self._recorder.warning(obj, reason, message)


def _entries(obj: Object) -> list[Mapping[str, Any]]:
    return list(((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ())
