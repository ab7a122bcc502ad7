"""Structured concurrency: owned and named tasks, the clock, work queue, back-off, threads for what blocks.

Knows nothing of Kubernetes. Everything above uses these instead of bare asyncio primitives.
"""
