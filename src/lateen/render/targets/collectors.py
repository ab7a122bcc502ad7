"""What gathers traces, metrics and logs of the application: an OpenTelemetry Collector, and Fluent Bit on every node for Loki.

Each comes as its configuration file and as the objects that run it. Where they send is an environment variable of theirs.
"""

from __future__ import annotations

from typing import Any

from lateen.kube.meta import Object
from lateen.kube.yamltext import dump
from lateen.model import Application
from lateen.render.environment import COLLECTOR
from lateen.render.names import PREFIX, content_hash, labels, obj, seconds
from lateen.render.security import RBAC
from lateen.render.targets.graph import Graph

_COLLECTOR_IMAGE, _FLUENT_IMAGE = "otel/opentelemetry-collector-contrib:0.135.0", "fluent/fluent-bit:4.0.7"
_SLOW = 1.0  # seconds, where no objective says what slow is
_ONE_IN_HUNDRED = 1


def otel(graph: Graph) -> dict[str, str]:
    """``collector.yaml``, and ``kubernetes/collector.yaml`` that runs it where services send to."""
    app = graph.base.app
    text = dump([collector(app)])
    return {"collector.yaml": text, "kubernetes/collector.yaml": dump(_gateway(app, text))}


def fluentbit(graph: Graph) -> dict[str, str]:
    """``fluent-bit.yaml``, and ``kubernetes/fluent-bit.yaml`` that runs it on every node."""
    app = graph.base.app
    text = dump([fluent_bit(app)])
    return {"fluent-bit.yaml": text, "kubernetes/fluent-bit.yaml": dump(_agents(app, text))}


def collector(app: Application) -> dict[str, Any]:
    """OTLP in; who sent it is asked of Kubernetes before traces are sampled, which may depend on it. Kept are traces with errors,
    slow ones by the objectives, and one in a hundred of the others. Rates and durations are measured from all spans."""
    processors: dict[str, Any] = {
        "memory_limiter": {"check_interval": "1s", "limit_percentage": 80, "spike_limit_percentage": 20},
        "k8sattributes": {
            "passthrough": False,
            "filter": {"namespace": app.namespace},
            "extract": {
                "metadata": ["k8s.namespace.name", "k8s.pod.name", "k8s.deployment.name", "k8s.node.name"],
                "labels": [
                    {"tag_name": "service.name", "key": f"{PREFIX}/name", "from": "pod"},
                    {"tag_name": "service.version", "key": f"{PREFIX}/version", "from": "pod"},
                ],
            },
            "pod_association": [{"sources": [{"from": "connection"}]}],
        },
        "resource": {
            "attributes": [
                {"key": "service.namespace", "value": app.name, "action": "upsert"},
                {"key": "deployment.environment.name", "value": app.environment, "action": "upsert"},
            ]
        },
        "tail_sampling": {"decision_wait": "10s", "policies": _policies(app)},
        "batch": {},
    }
    first, last = ["memory_limiter", "k8sattributes", "resource"], ["batch"]
    return {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "0.0.0.0:4317"}, "http": {"endpoint": "0.0.0.0:4318"}}}},
        "processors": processors,
        "connectors": {
            "spanmetrics": {"histogram": {"explicit": {"buckets": _buckets(app)}}, "dimensions": [{"name": "http.route"}]}
        },
        "exporters": {
            "otlphttp/traces": {"endpoint": "${env:TRACES_ENDPOINT}"},
            "otlphttp/logs": {"endpoint": "${env:LOGS_ENDPOINT}"},
            "prometheusremotewrite": {"endpoint": "${env:METRICS_ENDPOINT}", "resource_to_telemetry_conversion": {"enabled": True}},
        },
        "extensions": {"health_check": {"endpoint": "0.0.0.0:13133"}},
        "service": {
            "extensions": ["health_check"],
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": [*first, "tail_sampling", *last],
                    "exporters": ["otlphttp/traces"],
                },
                "traces/measured": {"receivers": ["otlp"], "processors": first, "exporters": ["spanmetrics"]},
                "metrics": {
                    "receivers": ["otlp", "spanmetrics"],
                    "processors": [*first, *last],
                    "exporters": ["prometheusremotewrite"],
                },
                "logs": {"receivers": ["otlp"], "processors": [*first, *last], "exporters": ["otlphttp/logs"]},
            },
        },
    }


def _policies(app: Application) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]
    limits = _limits(app)
    for service, limit in limits.items():
        mine = {
            "name": f"is-{service}",
            "type": "string_attribute",
            "string_attribute": {"key": "service.name", "values": [service]},
        }
        slow = {"name": "is-slow", "type": "latency", "latency": {"threshold_ms": round(limit * 1000)}}
        found.append({"name": f"slow-{service}", "type": "and", "and": {"and_sub_policy": [mine, slow]}})
    if len(limits) < len(app.services):
        found.append({"name": "slow", "type": "latency", "latency": {"threshold_ms": round(_SLOW * 1000)}})
    rest = {"sampling_percentage": _ONE_IN_HUNDRED}
    return [*found, {"name": "one-in-hundred", "type": "probabilistic", "probabilistic": rest}]


def _limits(app: Application) -> dict[str, float]:
    """What slow is, by service: the shortest threshold of its objectives."""
    found: dict[str, float] = {}
    for name, service in app.services.items():
        thresholds = [s.latency.threshold for s in service.slos.values() if s.latency is not None]
        if thresholds:
            found[name] = min(thresholds)
    return found


def _buckets(app: Application) -> list[str]:
    """Of the usual bounds, and every objective's threshold, in milliseconds."""
    usual = {5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000}
    own = {round(s.latency.threshold * 1000) for x in app.services.values() for s in x.slos.values() if s.latency is not None}
    return [f"{bound}ms" for bound in sorted(usual | own)]


def _place() -> tuple[str, str]:
    """Name and namespace of the collector's Service, by the address that services are given."""
    host = COLLECTOR.partition("://")[2].partition(":")[0].split(".")
    return host[0], host[1]


def _gateway(app: Application, config: str) -> list[Object]:
    name, namespace = _place()
    chosen = {f"{PREFIX}/name": name}
    container = {
        "name": "collector",
        "image": _COLLECTOR_IMAGE,
        "args": ["--config=/etc/otel/collector.yaml"],
        "ports": [{"name": "grpc", "containerPort": 4317}, {"name": "http", "containerPort": 4318}],
        "envFrom": [{"configMapRef": {"name": f"{name}-endpoints"}}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 13133}},
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": _restricted(),
        "volumeMounts": [{"name": "config", "mountPath": "/etc/otel", "readOnly": True}],
    }
    ports = [{"name": n, "port": p, "targetPort": n} for n, p in (("grpc", 4317), ("http", 4318))]
    endpoints = {f"{kind}_ENDPOINT": "" for kind in ("TRACES", "METRICS", "LOGS")}
    return [
        *_reader(
            app, name, namespace, [{"apiGroups": [""], "resources": ["pods", "namespaces", "nodes"], "verbs": _READ}, _REPLICASETS]
        ),
        _in(app, namespace, "v1", "ConfigMap", name, data={"collector.yaml": config}),
        _in(app, namespace, "v1", "ConfigMap", f"{name}-endpoints", data=endpoints),
        _in(app, namespace, "v1", "Service", name, spec={"selector": chosen, "ports": ports}),
        _workload(app, namespace, "Deployment", name, config, container, {"replicas": 2}),
    ]


_READ = ["get", "list", "watch"]
_REPLICASETS = {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": _READ}


def fluent_bit(app: Application) -> dict[str, Any]:
    """Log files of the application's containers, with their pods' names and labels; JSON lines become fields; a stack trace is one
    entry. Loki's labels are few and steady: what varies stays in the line."""
    pods = f"/var/log/containers/*_{app.namespace}_*.log"
    tail = {
        "name": "tail",
        "path": pods,
        "tag": "kube.*",
        "multiline.parser": "docker, cri, python, java, go",
        "db": "/var/lib/fluent-bit/positions.db",
        "mem_buf_limit": "16MB",
        "skip_long_lines": "on",
    }
    kubernetes = {
        "name": "kubernetes",
        "match": "kube.*",
        "merge_log": "on",
        "merge_log_key": "fields",
        "keep_log": "off",
        "k8s-logging.parser": "on",
        "k8s-logging.exclude": "on",
        "annotations": "off",
    }
    of_pod = "$kubernetes['labels']"
    loki_labels = [
        f"app={app.name}",
        f"environment={app.environment}",
        f"service={of_pod}['{PREFIX}/name']",
        f"version={of_pod}['{PREFIX}/version']",
        "container=$kubernetes['container_name']",
    ]
    loki = {
        "name": "loki",
        "match": "kube.*",
        "host": "${LOKI_HOST}",
        "port": "${LOKI_PORT}",
        "labels": ", ".join(loki_labels),
        "line_format": "json",
        "remove_keys": "kubernetes,stream,_p",
        "structured_metadata": "pod=$kubernetes['pod_name'],node=$kubernetes['host']",
        "retry_limit": 10,
        "storage.total_limit_size": "256M",
    }
    return {
        "service": {"flush": seconds(1), "log_level": "info", "http_server": "on", "storage.path": "/var/lib/fluent-bit/buffer"},
        "pipeline": {"inputs": [tail], "filters": [kubernetes], "outputs": [loki]},
    }


def _agents(app: Application, config: str) -> list[Object]:
    name, namespace = "fluent-bit", _place()[1]
    container = {
        "name": "fluent-bit",
        "image": _FLUENT_IMAGE,
        "args": ["--config=/etc/fluent-bit/fluent-bit.yaml"],
        "envFrom": [{"configMapRef": {"name": f"{name}-loki"}}],
        "livenessProbe": {"httpGet": {"path": "/", "port": 2020}},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/fluent-bit", "readOnly": True},
            {"name": "logs", "mountPath": "/var/log", "readOnly": True},
            {"name": "state", "mountPath": "/var/lib/fluent-bit"},
        ],
    }
    host = [
        {"name": "logs", "hostPath": {"path": "/var/log"}},
        {"name": "state", "hostPath": {"path": "/var/lib/fluent-bit", "type": "DirectoryOrCreate"}},
    ]
    where = {"LOKI_HOST": "loki", "LOKI_PORT": "3100"}
    return [
        *_reader(app, name, namespace, [{"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": _READ}]),
        _in(app, namespace, "v1", "ConfigMap", name, data={"fluent-bit.yaml": config}),
        _in(app, namespace, "v1", "ConfigMap", f"{name}-loki", data=where),
        _workload(app, namespace, "DaemonSet", name, config, container, {}, host),
    ]


def _in(app: Application, namespace: str, version: str, kind: str, name: str, **fields: Any) -> Object:
    found = obj(version, kind, name, app=app, labels=labels(app, name, "telemetry"), **fields)
    found["metadata"]["namespace"] = namespace
    return found


def _workload(
    app: Application,
    namespace: str,
    kind: str,
    name: str,
    config: str,
    container: dict[str, Any],
    spec: dict[str, Any],
    volumes: list[dict[str, Any]] | None = None,
) -> Object:
    """What runs a container with its configuration; a change of that starts it anew."""
    chosen = {f"{PREFIX}/name": name}
    pod = {
        "serviceAccountName": name,
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": name}}, *(volumes or [])],
        **({} if volumes else {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}}),
        **({"tolerations": [{"operator": "Exists"}]} if kind == "DaemonSet" else {}),
    }
    metadata = {"labels": chosen, "annotations": {"lateen.dev/config": content_hash(config)}}
    template = {"metadata": metadata, "spec": pod}
    return _in(app, namespace, "apps/v1", kind, name, spec={**spec, "selector": {"matchLabels": chosen}, "template": template})


def _restricted() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def _reader(app: Application, name: str, namespace: str, rules: list[dict[str, Any]]) -> list[Object]:
    """An identity that may read what the rules say, in the whole cluster."""
    own = labels(app, name, "telemetry")
    role = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name, "labels": own}, "rules": rules}
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": own},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    return [_in(app, namespace, "v1", "ServiceAccount", name), role, binding]
