"""The controller kit: source -> predicate -> handler -> queue -> reconciler -> result.

A reconciler is ``async def reconcile(self, key: Key) -> Result``: the key is identity only; the reconciler reads the world, is
idempotent, and says what comes next. Retry is decided in one switch, in ``controller``.
"""

from lateen.reconcile.controller import Controller, Manager, Source
from lateen.reconcile.result import DONE, Result

__all__ = ["DONE", "Controller", "Manager", "Result", "Source"]
