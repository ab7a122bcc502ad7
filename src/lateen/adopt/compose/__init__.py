"""Compose files, natively: ``read`` makes an application tree of one, or of one and its overrides.

``interpolate`` replaces variables, ``merge`` lays files over each other and follows ``extends``, ``service`` translates a service
with ``ports``, ``mounts``, ``checks`` and ``limits``, ``app`` puts it together.
``x-lateen:`` at the top and in a service is laid over the result: it says what Compose has no word for.
"""
