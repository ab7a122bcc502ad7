"""Which pod is next: by priority, then by arrival; refused ones wait for a change and at least for their back-off. Pure.

Time is a monotonic number of seconds, passed in. Used by ``loop``. The shape follows kube-scheduler's active, back-off and
unschedulable pools.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

from lateen.kube.meta import Object, Uid, uid_of

FIRST_BACKOFF, LAST_BACKOFF = 1.0, 10.0
FLUSH_AFTER = 300.0  # a refused pod is tried again after this long whatever happened


@dataclass(slots=True)
class _Waiting:
    pod: Object
    attempts: int = 0
    ready: bool = False  # stands in the active heap
    not_before: float = 0.0
    retry_at: float = float("inf")  # when it becomes ready by itself


class SchedulingQueue:
    """Pods to be placed, by UID."""

    def __init__(self) -> None:
        self._pods: dict[Uid, _Waiting] = {}
        self._active: list[tuple[int, int, Uid]] = []
        self._placing: dict[Uid, _Waiting] = {}  # popped, and not refused yet
        self._refused: dict[Uid, _Waiting] = {}  # those that wait for a change or for time
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._pods)

    def add(self, pod: Object, *, retry: bool = True) -> None:
        """A new pod, or the newer form of a known one; ``retry`` says that the change may make it fit."""
        uid = uid_of(pod)
        waiting = self._pods.get(uid)
        if waiting is None:
            waiting = self._pods[uid] = _Waiting(pod)
            self._activate(uid, waiting)
            return
        waiting.pod = pod
        if retry:
            waiting.retry_at = min(waiting.retry_at, waiting.not_before)

    def remove(self, uid: Uid) -> None:
        """The pod is gone, bound, or somebody else's."""
        self._pods.pop(uid, None)
        self._placing.pop(uid, None)
        self._refused.pop(uid, None)

    def pop(self) -> Object | None:
        """The next pod to decide; it stays known until it is removed or refused."""
        while self._active:
            _, _, uid = heapq.heappop(self._active)
            waiting = self._pods.get(uid)
            if waiting is not None and waiting.ready:
                waiting.ready, self._placing[uid] = False, waiting
                return waiting.pod
        return None

    def refuse(self, uid: Uid, now: float) -> None:
        """The pod fits nowhere (or its binding failed): wait for a change, at least for its back-off."""
        if (waiting := self._pods.get(uid)) is None:
            return
        changed = waiting.retry_at < float("inf")  # while it was being placed
        waiting.not_before = now + min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(waiting.attempts, 10))
        waiting.retry_at = waiting.not_before if changed else now + FLUSH_AFTER
        waiting.attempts += 1
        self._placing.pop(uid, None)
        self._refused[uid] = waiting

    def retry(self, uid: Uid) -> None:
        """Decide this refused pod again as soon as its back-off allows."""
        if waiting := self._pods.get(uid):
            waiting.retry_at = waiting.not_before

    def stir(self) -> None:
        """The cluster changed: every refused pod may fit now."""
        for waiting in (*self._placing.values(), *self._refused.values()):
            waiting.retry_at = min(waiting.retry_at, waiting.not_before)

    def advance(self, now: float) -> float | None:
        """Make ready what is due. Answers the seconds until the next one is due, None if nothing waits for time."""
        for uid in [u for u, waiting in self._refused.items() if waiting.retry_at <= now]:
            self._activate(uid, self._refused.pop(uid))
        return min((waiting.retry_at - now for waiting in self._refused.values()), default=None)

    def _activate(self, uid: Uid, waiting: _Waiting) -> None:
        waiting.ready, waiting.retry_at = True, float("inf")
        priority = waiting.pod["spec"].get("priority") or 0
        heapq.heappush(self._active, (-priority, next(self._order), uid))
