"""The resources that lateen runs in the cluster: one StatefulSet with a volume each, found by a Service of the resource's name.

Their passwords are in a Secret that is only ever referred to; ``lateen up`` makes it with a random value where it is missing.
A single replica: for what must survive the loss of its node, set ``class: external`` and use an operator or a cloud's service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application
from lateen.model.resource import Resource
from lateen.render.environment import credentials, resource_default
from lateen.render.names import image_version, labels, obj, selector


@dataclass(frozen=True, slots=True)
class Server:
    """How a type runs: its image, where it keeps data, who it runs as, its settings, its check. ``$`` fields are filled in."""

    image: str
    version: str
    data: str
    user: int
    env: Mapping[str, str]
    check: tuple[str, ...]
    args: tuple[str, ...] = ()


_SERVERS: Mapping[str, Server] = {
    "postgres": Server(
        "docker.io/library/postgres", "17", "/var/lib/postgresql/data", 999,
        {"POSTGRES_USER": "$user", "POSTGRES_DB": "$database", "POSTGRES_PASSWORD": "$password",
         "PGDATA": "/var/lib/postgresql/data/pgdata"},
        ("pg_isready", "-h", "127.0.0.1", "-U", "$user"),
    ),
    "mysql": Server(
        "docker.io/library/mysql", "8.4", "/var/lib/mysql", 999,
        {"MYSQL_USER": "$user", "MYSQL_DATABASE": "$database", "MYSQL_PASSWORD": "$password", "MYSQL_RANDOM_ROOT_PASSWORD": "1"},
        ("mysqladmin", "ping", "-h", "127.0.0.1"),
    ),
    "mongodb": Server(
        "docker.io/library/mongo", "8.0", "/data/db", 999,
        {"MONGO_INITDB_ROOT_USERNAME": "$user", "MONGO_INITDB_DATABASE": "$database", "MONGO_INITDB_ROOT_PASSWORD": "$password"},
        ("mongosh", "--quiet", "--eval", "db.runCommand({ping: 1})"),
    ),
    "redis": Server(
        "docker.io/library/redis", "8", "/data", 999, {"REDIS_PASSWORD": "$password"}, (),
        ("redis-server", "--requirepass", "$(REDIS_PASSWORD)", "--appendonly", "yes"),
    ),
    "rabbitmq": Server(
        "docker.io/library/rabbitmq", "4", "/var/lib/rabbitmq", 999,
        {"RABBITMQ_DEFAULT_USER": "$user", "RABBITMQ_DEFAULT_PASS": "$password"},
        ("rabbitmq-diagnostics", "-q", "ping"),
    ),
    "nats": Server("docker.io/library/nats", "2", "/data", 65532, {}, (), ("-js", "-sd", "/data", "-m", "8222")),
    "kafka": Server(
        "docker.io/apache/kafka", "4.0.0", "/var/lib/kafka/data", 1000,
        {
            "KAFKA_NODE_ID": "1", "KAFKA_PROCESS_ROLES": "broker,controller", "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093", "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://$name:9092",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER", "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_LOG_DIRS": "/var/lib/kafka/data/logs",
        },
        (),
    ),
    "s3": Server(
        "docker.io/minio/minio", "latest", "/data", 1000, {"MINIO_ROOT_USER": "$user", "MINIO_ROOT_PASSWORD": "$password"}, (),
        ("server", "/data"),
    ),
}  # fmt: skip


def backing(app: Application) -> list[Object]:
    """The objects of every resource that runs in the cluster."""
    objects: list[Object] = []
    for name, resource in app.spec.resources.items():
        if resource.class_ == "cluster":
            objects += [_account(app, name), _service(app, name, resource), _stateful_set(app, name, resource)]
    return objects


def generated_passwords(app: Application) -> dict[str, str]:
    """Secrets that ``up`` makes where they are missing: their name, and the resource that they open."""
    found = app.spec.resources.items()
    made = {credentials(app, n): n for n, r in found if r.class_ == "cluster" and r.secret is None and "password" in r.kind.outputs}
    return dict(sorted(made.items()))


def backing_labels(app: Application, name: str, version: str = "") -> dict[str, str]:
    """The labels of a resource's objects."""
    return labels(app, name, "resource", version)


def _account(app: Application, name: str) -> Object:
    return obj("v1", "ServiceAccount", name, app=app, labels=backing_labels(app, name), automountServiceAccountToken=False)


def _service(app: Application, name: str, resource: Resource) -> Object:
    port = {"name": "main", "port": resource.kind.port, "targetPort": "main", "protocol": "TCP", "appProtocol": "tcp"}
    spec = {"selector": selector(app, name), "ports": [port]}
    return obj("v1", "Service", name, app=app, labels=backing_labels(app, name), spec=spec)


def _stateful_set(app: Application, name: str, resource: Resource) -> Object:
    server = _SERVERS[str(resource.type)]
    image = resource.image or f"{server.image}:{resource.version or server.version}"
    own = backing_labels(app, name, image_version(image))
    claim = {
        "metadata": {"name": "data", "labels": selector(app, name)},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": resource.size}}},
    }
    spec = {
        "serviceName": name,
        "replicas": 1,
        "selector": {"matchLabels": selector(app, name)},
        "updateStrategy": {"type": "RollingUpdate"},
        "template": {"metadata": {"labels": own}, "spec": _pod(app, name, resource, server, image=image)},
        "volumeClaimTemplates": [claim],
    }
    return obj("apps/v1", "StatefulSet", name, app=app, labels=own, spec=spec)


def _pod(app: Application, name: str, resource: Resource, server: Server, *, image: str) -> dict[str, Any]:
    probe = {"exec": {"command": [_fill(c, app, name) for c in server.check]}} if server.check else {"tcpSocket": {"port": "main"}}
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        **({"args": list(server.args)} if server.args else {}),
        "ports": [{"name": "main", "containerPort": resource.kind.port, "protocol": "TCP"}],
        "env": _env(app, name, resource, server),
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "volumeMounts": [{"name": "data", "mountPath": server.data}],
        "startupProbe": {**probe, "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 150},
        "readinessProbe": {**probe, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    context = {"runAsNonRoot": True, "runAsUser": server.user, "runAsGroup": server.user, "fsGroup": server.user}
    return {
        "serviceAccountName": name,
        "terminationGracePeriodSeconds": 60,
        "securityContext": {**context, "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }


def _env(app: Application, name: str, resource: Resource, server: Server) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key, value in server.env.items():
        secret = {"valueFrom": {"secretKeyRef": {"name": credentials(app, name), "key": "password"}}}
        found[key] = secret if value == "$password" else {"value": _fill(value, app, name)}
    for key, value in resource.params.items():
        found[key] = {"value": value}
    return [{"name": n, **e} for n, e in found.items()]


def _fill(text: str, app: Application, name: str) -> str:
    for field in ("user", "database"):
        text = text.replace(f"${field}", resource_default(app, field))
    return text.replace("$name", name)
