"""The client of OCI registries: whom to ask (``settings``), as whom (``credentials``), how (``http``); and ``pull``.

Async. Called by the node agent and by ``lateen image``. What lies on disk is the store's.
"""
