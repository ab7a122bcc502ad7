"""How fast silent nodes lose their pods, by the state of their zones."""

import pytest

from lateen.cluster.controllers.zones import rates
from lateen.kube.meta import Object


def zone(name: str, ready: int, silent: int) -> list[Object]:
    labels = {"topology.kubernetes.io/zone": name}
    states = ["True"] * ready + ["Unknown"] * silent
    return [{"metadata": {"labels": labels}, "status": {"conditions": [{"type": "Ready", "status": s}]}} for s in states]


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ((("a", 3, 0), ("b", 2, 1)), {"a": 0.1, "b": 0.1}),
        ((("a", 1, 2), ("b", 1, 0)), {"a": 0.1, "b": 0.1}),  # two silent nodes are not many yet
        ((("a", 2, 3), ("b", 1, 0)), {"a": 0.0, "b": 0.1}),  # small and mostly silent
        ((("a", 20, 40), ("b", 1, 0)), {"a": 0.01, "b": 0.1}),  # large and mostly silent
        ((("a", 0, 3), ("b", 1, 0)), {"a": 0.1, "b": 0.1}),  # one zone is lost: its pods can live elsewhere
        ((("a", 0, 3), ("b", 0, 1)), {"a": 0.0, "b": 0.0}),  # all are: the fault is here
    ],
)
def test_rates(zones: tuple[tuple[str, int, int], ...], expected: dict[str, float]) -> None:
    assert rates([n for z in zones for n in zone(*z)]) == {f":{name}": rate for name, rate in expected.items()}
