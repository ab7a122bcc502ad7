"""OCI images on one machine: the local layout, building from source without Docker, unpacking.

Blocking library code: the CLI calls it directly, the node agent through a thread. Speaks to no registry and runs no container.
"""
