"""The first configuration of a proxy: where its discovery service is, where its admin listens. All else comes by discovery."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_MAX_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySpec:
    """One proxy. ``group`` is its node id: which resources it asks for. ``within`` gives the pid of a process in whose namespaces
    it shall live, 0 for the machine's."""

    group: str
    binary: Path
    folder: Path
    xds: Path
    admin: Path
    concurrency: int = 2
    drain_seconds: int = 5
    within: Callable[[], int] = lambda: 0

    @property
    def id(self) -> str:
        """The name of its process."""
        return f"envoy-{self.group}"

    @property
    def config(self) -> Path:
        return self.folder / f"{self.group}.json"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.group}.log"

    def argv(self) -> list[str]:
        """The command line."""
        return [
            str(self.binary),
            *("--config-path", str(self.config)),
            *("--service-node", self.group, "--service-cluster", "lateen"),
            *("--concurrency", str(self.concurrency)),
            *("--drain-time-s", str(self.drain_seconds), "--drain-strategy", "immediate"),
            # Of configuration only errors: each attempt to reach a daemon that is away would be a line.
            *("--log-level", "warning", "--component-log-level", "config:error"),
            "--disable-hot-restart",  # unused, and with it a proxy would end when the process that started it is killed
        ]

    def contract(self) -> str:
        """Of what a daemon and a running proxy must agree on. All else may differ: a proxy that a former version started goes on
        carrying traffic, and is as this version has it from its next start on."""
        return hashlib.sha256(orjson.dumps([self.group, str(self.xds), str(self.admin)])).hexdigest()[:16]


def bootstrap(spec: ProxySpec) -> dict[str, Any]:
    """The bootstrap configuration, as JSON."""
    discovery = {"ads": {}, "resource_api_version": "V3"}
    return {
        "admin": {"address": {"pipe": {"path": str(spec.admin)}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": "discovery",
                            # The daemon may be away; its return shall be noticed at once (the default waits up to 30 s).
                            "retry_policy": {"retry_back_off": {"base_interval": "0.05s", "max_interval": "0.25s"}},
                        }
                    }
                ],
            },
            "cds_config": discovery,
            "lds_config": discovery,
        },
        "static_resources": {"clusters": [_discovery_cluster(spec.xds)]},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {"re2.max_program_size.error_level": 1000}}]},
        "overload_manager": {"resource_monitors": [_max_connections()]},
    }


def _discovery_cluster(socket: Path) -> dict[str, Any]:
    endpoint = {"address": {"pipe": {"path": str(socket)}}}
    return {
        "name": "discovery",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {"cluster_name": "discovery", "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }


def _max_connections() -> dict[str, Any]:
    monitor = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    return {
        "name": _MAX_CONNECTIONS,
        "typed_config": {"@type": f"type.googleapis.com/{monitor}", "max_active_downstream_connections": 50000},
    }
