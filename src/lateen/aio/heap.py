"""Short garbage collections in a process that holds very many objects for long. Called by whoever boots a daemon.

A full collection walks every container: with tens of thousands of cached API objects it stops the event loop for tenths of a
second, again and again, and finds next to nothing, because JSON trees have no cycles and die by reference count. So full
collections come early, and whatever survives one is frozen: the next walks only what came since. Frozen objects still die by
reference count; a cycle that formed among long-lived objects stays until ``collect_frozen``.
"""

from __future__ import annotations

import gc

_OLDEST = 2
_THRESHOLDS = (700, 10, 2)  # a full collection after about 14,000 new containers: some ten milliseconds


def pause_collections() -> None:
    """No collection until ``settle_heap``: a start makes what stays, and looking for garbage in it takes a tenth of the time."""
    gc.disable()


def settle_heap() -> None:
    """Freeze what is alive, and from now on freeze what survives each full collection. Idempotent."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(*_THRESHOLDS)
    if _freeze_survivors not in gc.callbacks:
        gc.callbacks.append(_freeze_survivors)


def collect_frozen() -> None:
    """A collection of everything, frozen objects too: what formed cycles after it was frozen goes. Stops the loop for about a tenth
    of a second per 100,000 objects, so: rarely."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def unsettle_heap() -> None:
    """Back to Python's own ways (for a process that boots a cluster only for a while: tests)."""
    if _freeze_survivors in gc.callbacks:
        gc.callbacks.remove(_freeze_survivors)
        gc.set_threshold(700, 10, 10)
        gc.unfreeze()


def _freeze_survivors(phase: str, info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] == _OLDEST:
        gc.freeze()
