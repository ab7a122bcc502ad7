"""Snapshots -> Envoy resources -> proxies. ``compile`` is pure, ``cache`` holds what shall be, ``session`` one proxy's way there.

Importing anything below costs 0.3 s and 36 MB (grpc and the protocol classes): the controller imports it when traffic starts.
"""
