"""Selectors and pods find each other by labels as they would by asking everybody."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from lateen.client.informer import Informer
from lateen.cluster.controllers.selecting import PodsByLabels, Selecting
from lateen.kube.meta import Object, key_of
from lateen.kube.selectors import from_selector

LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3)
EXPRESSION = st.fixed_dictionaries(
    {"key": st.sampled_from("abc"), "operator": st.sampled_from(["In", "NotIn", "Exists"]), "values": st.just(["x"])}
)
SELECTOR = st.none() | st.fixed_dictionaries({"matchLabels": LABELS, "matchExpressions": st.lists(EXPRESSION, max_size=1)})
NAMESPACE = st.sampled_from(["n", "m"])


class Store:
    """Indexes as an informer's."""

    def __init__(self, objects: list[Object]) -> None:
        self.objects, self.functions = objects, dict[str, Any]()

    def add_index(self, name: str, function: Any) -> None:
        self.functions[name] = function
        for obj in self.objects:
            function(obj)

    def list(self, namespace: str) -> list[Object]:
        return [o for o in self.objects if key_of(o).namespace == namespace]

    def by_index(self, name: str, value: str) -> Any:
        return [o for o in self.objects if value in self.functions[name](o)]

    def count(self, name: str, value: str) -> int:
        return len(self.by_index(name, value))


def store(found: list[tuple[str, Any]], field: str) -> Store:
    return Store([{"metadata": {"name": f"o{i}", "namespace": ns, **({field: v} if v else {})}} for i, (ns, v) in enumerate(found)])


def names(found: list[Object]) -> list[str]:
    return sorted(o["metadata"]["name"] for o in found)


@given(st.lists(st.tuples(NAMESPACE, SELECTOR)), NAMESPACE, LABELS)
def test_the_objects_that_select_a_pod(objects: list[tuple[str, Any]], namespace: str, labels: dict[str, str]) -> None:
    held = store(objects, "selector")
    selecting = Selecting(cast("Informer", held), "it", lambda o: o["metadata"].get("selector"))
    pod = {"metadata": {"name": "p", "namespace": namespace, "labels": labels}}
    wanted = [f"o{i}" for i, (ns, s) in enumerate(objects) if ns == namespace and s and from_selector(s)(labels)]
    assert names(selecting.of(pod)) == sorted(wanted)


@given(st.lists(st.tuples(NAMESPACE, LABELS)), NAMESPACE, SELECTOR)
def test_the_pods_that_a_selector_picks(pods: list[tuple[str, Any]], namespace: str, selector: Any) -> None:
    found = PodsByLabels(cast("Informer", store(pods, "labels"))).selected(namespace, selector)
    assert names(found) == sorted(
        f"o{i}" for i, (ns, labels) in enumerate(pods) if ns == namespace and from_selector(selector)(labels)
    )
