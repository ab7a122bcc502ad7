"""What survives a full collection is frozen; the dead still die."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from lateen.aio.heap import collect_frozen, settle_heap, unsettle_heap


@pytest.fixture(autouse=True)
def settled() -> Iterator[None]:
    before = gc.get_threshold()
    settle_heap()
    yield
    unsettle_heap()
    gc.set_threshold(*before)


class Node:
    """Something a weak reference can watch."""

    other: Node | None = None


def test_survivors_are_frozen_by_each_full_collection() -> None:
    frozen = gc.get_freeze_count()
    kept = [[i] for i in range(1000)]
    gc.collect()
    assert gc.get_freeze_count() >= frozen + len(kept)


def test_frozen_objects_die_by_reference_count() -> None:
    node = Node()
    watch = weakref.ref(node)
    gc.collect()
    del node
    assert watch() is None


def test_young_cycles_are_still_collected() -> None:
    node = Node()
    node.other = node
    watch = weakref.ref(node)
    del node
    gc.collect()
    assert watch() is None


def test_a_cycle_that_was_frozen_goes_in_the_rare_collection_of_everything() -> None:
    node = Node()
    watch = weakref.ref(node)
    gc.collect()
    node.other = node
    del node
    gc.collect()
    assert watch() is not None
    collect_frozen()
    assert watch() is None
    assert gc.get_freeze_count() > 0


def test_settling_twice_installs_one_callback() -> None:
    count = len(gc.callbacks)
    settle_heap()
    assert len(gc.callbacks) == count
    unsettle_heap()
    assert len(gc.callbacks) == count - 1
    assert gc.get_freeze_count() == 0
