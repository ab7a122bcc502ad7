"""API objects -> ``ir`` and the statuses to write back. Pure: no clock, no I/O; the same input gives the same output.

``services`` is called per service (an endpoint change costs one service), ``gateways`` for all of Gateway API at once.
"""
