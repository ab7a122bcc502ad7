"""Compose files, natively: ``app.read`` makes an application tree of one, or of one and its overrides.

``files`` reads them: ``interpolate`` replaces variables, ``merge`` lays files over each other and follows ``extends``. ``service``
translates a service with ``ports``, ``mounts``, ``checks``, ``limits`` and ``patches``; ``calls`` finds who calls whom.
``x-lateen:`` at the top and in a service is laid over the result: it says what Compose has no word for.
"""
