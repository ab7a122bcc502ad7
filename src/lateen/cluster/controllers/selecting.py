"""Which selectors pick a pod and which pods a selector picks, found by labels instead of asking every object.

Used by the controllers of what selects pods: Services, budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lateen.client.informer import Informer
from lateen.kube.meta import Key, Object, key_of, labels_of
from lateen.kube.selectors import from_selector


class Selecting:
    """Objects of ``informer`` by what ``selector`` (a LabelSelector of such an object, None: it selects nothing) picks. Of each
    selector the exact labels are the index; there are few sets of keys in a cluster, whatever the number of objects."""

    def __init__(self, informer: Informer, name: str, selector: Callable[[Object], Mapping[str, Any] | None]) -> None:
        self._informer, self._name, self._selector = informer, f"{name} by selector", selector
        self._keys: set[tuple[str, ...]] = set()
        informer.add_index(self._name, self._places)

    def _places(self, obj: Object) -> Sequence[str]:
        selector = self._selector(obj)
        if selector is None:
            return ()
        pairs = sorted((selector.get("matchLabels") or {}).items())
        self._keys.add(tuple([k for k, _ in pairs]))
        return (_place(key_of(obj).namespace, pairs),)

    def of(self, pod: Object) -> list[Object]:
        """The objects that select the pod."""
        labels, namespace = labels_of(pod), key_of(pod).namespace
        places = [_place(namespace, [(k, labels[k]) for k in keys]) for keys in self._keys if all(k in labels for k in keys)]
        found = [o for place in places for o in self._informer.by_index(self._name, place)]
        return [o for o in found if _agrees(self._selector(o), labels)]

    def keys(self, pod: Object) -> list[Key]:
        """Their keys: what to reconcile when the pod changed."""
        return [key_of(o) for o in self.of(pod)]


class PodsByLabels:
    """The pods of ``informer`` by their labels."""

    _INDEX = "label"

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        informer.add_index(self._INDEX, lambda pod: [_place(key_of(pod).namespace, [pair]) for pair in labels_of(pod).items()])

    def selected(self, namespace: str, selector: Mapping[str, Any] | None) -> list[Object]:
        """Those of the namespace that a LabelSelector picks; in the order in which they came."""
        matches, pairs = from_selector(selector), ((selector or {}).get("matchLabels") or {}).items()
        places = [_place(namespace, [pair]) for pair in pairs]
        if not places:
            return [p for p in self._informer.list(namespace) if matches(labels_of(p))]
        rarest = min(places, key=lambda place: self._informer.count(self._INDEX, place))
        return [p for p in self._informer.by_index(self._INDEX, rarest) if matches(labels_of(p))]


def _place(namespace: str, pairs: Iterable[tuple[str, str]]) -> str:
    return f"{namespace}/{','.join([f'{k}={v}' for k, v in pairs])}"


def _agrees(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    return selector is not None and (not selector.get("matchExpressions") or from_selector(selector)(labels))


def of_service(service: Object) -> Mapping[str, Any] | None:
    """A Service's selector as a LabelSelector; an empty one selects nothing."""
    wanted = (service.get("spec") or {}).get("selector")
    return {"matchLabels": wanted} if wanted else None
