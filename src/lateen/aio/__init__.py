"""Structured concurrency: owned and named tasks, the clock, work queue, watchable map, broadcast, retry.

Knows nothing of Kubernetes. Everything above uses these instead of bare asyncio primitives.
"""
