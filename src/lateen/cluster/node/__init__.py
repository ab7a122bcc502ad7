"""The node agent: runs the pods bound to its node, reports their status, and nothing else. A client of the API like any other."""
