"""Well-known images: the ports that the software behind them listens on (Compose files seldom say), and whether it keeps data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Software:
    """Ports with their protocols, the main one first; ``keeps``: a database that owns its volume alone."""

    ports: tuple[tuple[int, str], ...]
    keeps: bool = False


def _store(*ports: tuple[int, str]) -> Software:
    return Software(ports, keeps=True)


_POSTGRES, _MYSQL, _REDIS = _store((5432, "tcp")), _store((3306, "tcp")), _store((6379, "tcp"))
_SEARCH, _HTTP = _store((9200, "http")), Software(((80, "http"),))
KNOWN = {
    **dict.fromkeys(("postgres", "postgresql", "postgis", "timescaledb", "pgvector"), _POSTGRES),
    **dict.fromkeys(("mysql", "mariadb", "mysql-server", "percona"), _MYSQL),
    **dict.fromkeys(("redis", "valkey", "redis-stack", "redis-stack-server", "keydb", "dragonfly"), _REDIS),
    **dict.fromkeys(("mongo", "mongodb", "mongodb-community-server"), _store((27017, "tcp"))),
    **dict.fromkeys(("elasticsearch", "opensearch"), _SEARCH),
    **dict.fromkeys(("nginx", "httpd", "caddy", "nginx-unprivileged"), _HTTP),
    "rabbitmq": _store((5672, "tcp"), (15672, "http")),
    "nats": _store((4222, "tcp")),
    "kafka": _store((9092, "tcp")),
    "zookeeper": _store((2181, "tcp")),
    "memcached": Software(((11211, "tcp"),)),
    "minio": _store((9000, "http"), (9001, "http")),
    "clickhouse-server": _store((8123, "http"), (9000, "tcp")),
    "cassandra": _store((9042, "tcp")),
    "cockroach": _store((26257, "tcp"), (8080, "http")),
    "etcd": _store((2379, "grpc")),
    "influxdb": _store((8086, "http")),
    "couchdb": _store((5984, "http")),
    "neo4j": _store((7687, "tcp"), (7474, "http")),
    "mssql-server": _store((1433, "tcp")),
    "qdrant": _store((6333, "http"), (6334, "grpc")),
    "prometheus": _store((9090, "http")),
    "grafana": _store((3000, "http")),
    "loki": _store((3100, "http")),
    "jaeger": Software(((16686, "http"), (4317, "grpc"))),
    "all-in-one": Software(((16686, "http"), (4317, "grpc"))),
    "mailhog": Software(((1025, "tcp"), (8025, "http"))),
    "mailpit": Software(((1025, "tcp"), (8025, "http"))),
    "adminer": Software(((8080, "http"),)),
    "pgadmin4": _HTTP,
    "phpmyadmin": _HTTP,
    "traefik": _HTTP,
    "keycloak": Software(((8080, "http"),)),
    "vault": Software(((8200, "http"),)),
    "consul": _store((8500, "http")),
    "registry": _store((5000, "http")),
}
_WEB = {80, 3000, 3001, 4000, 4200, 5000, 5001, 5173, 8000, 8001, 8008, 8080, 8081, 8082, 8088, 8090, 8888, 9090}


def of_image(image: str) -> Software | None:
    """What runs behind an image's name, if it is known."""
    name = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return KNOWN.get(name)


def protocol_of(port: int, software: Software | None) -> str:
    """What is most probably spoken on a port. A wrong ``tcp`` costs figures and retries; a wrong ``http`` would break it."""
    known = dict(software.ports) if software is not None else {}
    return known.get(port) or ("http" if port in _WEB else "tcp")
