"""The process owner: a small process that starts and owns pod processes and Envoy, and survives everything the daemon does.

``main`` is that process (standard library only, no asyncio: about 11 MB); ``client`` is what the daemon talks to it with.
The node agent runs one shim per node, the traffic part one named ``system`` for the proxies and the address slice.

Logs: a child's stdout and stderr are one raw file, never a pipe, so that nothing can block or kill it when a reader is gone. The
shim notes ``(time, size)`` beside each file as it grows (``logtimes``): a line's time is known to half a second.

If the shim itself is killed, the processes live on. The next shim in the same folder finds them by its records (pid, start time,
boot) and owns them again, except that only a parent can learn an exit code: such an end is recorded as 137, ContainerStatusUnknown.
"""

BUSY = 3  # the exit code of a shim that found its folder owned by another one
