"""The version of Kubernetes that the server speaks: that of its schemas, because that is what clients ask for."""

from __future__ import annotations

VERSION = {"major": "1", "minor": "37", "gitVersion": "v1.37.0"}
