"""The embedded cluster: the Kubernetes API on one machine. Separable: imports no product package.

storage < api | controllers | scheduler | node < boot. Only ``api`` and ``boot`` touch storage; everybody else is a client.
"""
