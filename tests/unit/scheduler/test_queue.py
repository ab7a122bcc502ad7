"""Which pod is decided when."""

from __future__ import annotations

from lateen.cluster.scheduler.queue import FLUSH_AFTER, SchedulingQueue
from lateen.kube.meta import Object, Uid, meta


def pod(name: str, priority: int = 0) -> Object:
    return {"metadata": {"name": name, "uid": name}, "spec": {"priority": priority}}


def popped(queue: SchedulingQueue) -> list[str]:
    names = []
    while (found := queue.pop()) is not None:
        names.append(meta(found)["name"])
    return names


def test_by_priority_then_in_order() -> None:
    queue = SchedulingQueue()
    for made in (pod("a"), pod("b"), pod("high", 5)):
        queue.add(made)
    assert popped(queue) == ["high", "a", "b"]


def test_a_change_brings_back_what_was_refused_after_its_back_off() -> None:
    queue = SchedulingQueue()
    queue.add(pod("a"))
    assert popped(queue) == ["a"]
    queue.refuse(Uid("a"), 0.0)
    queue.stir()
    queue.advance(0.5)
    assert popped(queue) == []
    queue.advance(1.0)
    assert popped(queue) == ["a"]


def test_a_change_does_not_bring_back_what_is_being_placed() -> None:
    queue = SchedulingQueue()
    queue.add(pod("a"))
    assert popped(queue) == ["a"]
    queue.stir()
    queue.advance(100.0)
    assert popped(queue) == []
    queue.refuse(Uid("a"), 100.0)  # the binding failed after all
    queue.advance(100.0 + FLUSH_AFTER)
    assert popped(queue) == ["a"]


def test_a_change_during_the_decision_is_not_lost_when_it_is_refused() -> None:
    queue = SchedulingQueue()
    queue.add(pod("a"))
    assert popped(queue) == ["a"]
    queue.stir()
    queue.refuse(Uid("a"), 0.0)
    assert queue.advance(0.5) == 0.5
    queue.advance(1.0)
    assert popped(queue) == ["a"]
