"""Which workloads can be reached from outside the cluster, and which are data stores. Used by checks of several themes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lateen.check.manifest import Manifest, mapping, maps
from lateen.check.workload import Workload
from lateen.check.world import World

STORE_PORTS = {
    1433: "SQL Server",
    2379: "etcd",
    3306: "MySQL",
    5432: "PostgreSQL",
    5672: "RabbitMQ",
    6379: "Redis",
    9042: "Cassandra",
    9092: "Kafka",
    9200: "Elasticsearch",
    11211: "memcached",
    26257: "CockroachDB",
    27017: "MongoDB",
}
_STORE_IMAGE = re.compile(
    r"(^|[/_-])(postgres(ql)?|postgis|mysql|mariadb|percona|mongo(db)?|redis|valkey|keydb|cassandra|scylla|elasticsearch|opensearch|"
    r"couchdb|couchbase|cockroach(db)?|etcd|influxdb|clickhouse(-server)?|neo4j|minio|rabbitmq|kafka|nats|zookeeper|memcached|vault|"
    r"mssql|mssql-server|timescaledb|arangodb|rethinkdb|riak|solr|consul)(-[a-z]+)?([:@]|$)"
)
_PROXIES = re.compile(r"(^|[/_-])(envoy|istio|proxyv2|linkerd|nginx-ingress|exporter|agent|fluent)")


def outside(world: World, service: Manifest) -> bool:
    """Whether clients outside the cluster reach the Service."""
    return service.spec.get("type") in ("LoadBalancer", "NodePort") or id(service) in world.exposed


def reachable(world: World, workload: Workload) -> bool:
    """Whether clients outside the cluster reach the workload."""
    ports = any(p.get("hostPort") for c in workload.containers for p in c.ports)
    return ports or any(outside(world, s) for s in world.fronts(workload))


def store(workload: Workload) -> str:
    """The image of the data store that the workload is; empty when it is none."""
    return next((c.image for c in workload.main if is_store_image(c.image)), "")


def is_store_image(image: str) -> bool:
    """Whether the image is that of a database, cache or broker (not of an exporter or proxy for one)."""
    name = image.partition("@")[0]
    last = name.rpartition("/")[2].partition(":")[0]
    return (
        bool(_STORE_IMAGE.search(last))
        and not _PROXIES.search(last)
        and not re.search(r"exporter|backup|client|admin|operator|ui$", last)
    )


def service_ports(service: Manifest) -> Iterator[int]:
    """The numbers of the ports that a Service offers."""
    for p in maps(service.spec.get("ports")):
        if isinstance(p.get("port"), int):
            yield p["port"]


def internal(service: Manifest) -> bool:
    """Whether a LoadBalancer is for the provider's private network only, or limited to sources."""
    words = " ".join(f"{k}={v}" for k, v in service.annotations.items()).lower()
    return (
        "internal" in words
        or bool(service.spec.get("loadBalancerSourceRanges"))
        or bool(mapping(service.spec).get("loadBalancerClass") == "tailscale")
    )
