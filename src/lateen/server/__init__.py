"""The composition root of the running daemon: the embedded cluster, traffic, and what starts and stops them."""
