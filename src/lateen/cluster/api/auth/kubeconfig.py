"""The kubeconfig that a cluster hands to its user."""

from __future__ import annotations

import base64
import json


def kubeconfig(*, name: str, server: str, ca: bytes, token: str, user: str = "admin") -> str:
    """One cluster, one user, one context called ``lateen-<name>``. JSON, which every reader of kubeconfigs takes as YAML."""
    context = f"lateen-{name}"
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()}}],
        "users": [{"name": f"{context}-{user}", "user": {"token": token}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": f"{context}-{user}"}}],
        "current-context": context,
    }
    return json.dumps(data, indent=2) + "\n"
