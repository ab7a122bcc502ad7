"""Blocking work, beside the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def run_blocking(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread; its result or exception."""
    return await asyncio.to_thread(work)
