"""The traffic between services and into the cluster: Service, EndpointSlice, Gateway API -> ``ir`` -> ``xds`` -> Envoy.

``translate`` turns API objects into a snapshot (pure), ``xds`` turns a snapshot into Envoy resources and serves them, ``envoy``
owns the proxy processes, ``controller`` ties them to the API, ``gate`` holds pods back until every proxy acknowledged them.
Grpc and the protocol classes are imported only by ``xds`` and only when traffic starts.
"""
