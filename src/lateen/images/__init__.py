"""OCI images on one machine: the local layout, building from source without Docker, unpacking.

Blocking library code (the CLI calls it directly, the node agent through a thread), but for ``registry``, which is async.
Runs no container.
"""
