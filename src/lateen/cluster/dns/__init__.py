"""The cluster's DNS: names of Services, endpoints and pods, as CoreDNS answers them with its usual configuration.

In the daemon: ``entries`` (Services and EndpointSlices -> entries), ``feed`` (keeps the server running and told), ``sockets``. In a
process of its own, which goes on answering while the daemon is away: ``main``, ``control``, ``zone`` (entries -> answers, pure),
``wire`` (answers -> messages), ``forward`` (everything else -> the machine's resolvers). Used by ``boot``.
"""
