"""Environment variables: precedence, expansion, services, what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.cluster.node.environment import ConfigError, Sources, environment, references
from lateen.kube.meta import Object

POD: Object = {
    "metadata": {"name": "p", "namespace": "shop", "labels": {"app": "x"}},
    "spec": {"nodeName": "n1", "containers": []},
    "status": {"podIP": "127.64.0.1"},
}


def env(container: dict[str, Any], sources: Sources | None = None, pod: Object = POD) -> dict[str, str]:
    return environment(pod, container, sources or Sources(), {"memory": "1Gi", "cpu": "2"})


def service(of: str, namespace: str = "shop", **port: Any) -> Object:
    spec = {"clusterIP": "127.96.0.9", "ports": [{"port": 80, **port}]}
    return {"metadata": {"name": of, "namespace": namespace}, "spec": spec}


def test_env_wins_over_env_from_over_image() -> None:
    sources = Sources(configmaps={"a": {"data": {"X": "a", "Y": "a"}}}, image={"X": "i", "Y": "i", "Z": "i"}, network={"HOST": "h"})
    container = {"envFrom": [{"configMapRef": {"name": "a"}}], "env": [{"name": "X", "value": "own"}]}
    assert env(container, sources) == {"X": "own", "Y": "a", "Z": "i", "HOST": "h"}


def test_expansion() -> None:
    entries = [("A", "1"), ("B", "$(A)2"), ("C", "$$(A) $(NOT) $(B)")]
    assert env({"env": [{"name": n, "value": v} for n, v in entries]})["C"] == "$(A) $(NOT) 12"


def test_service_variables_carry_a_port_that_can_be_bound() -> None:
    sources = Sources(services=[service("cart-api", name="http"), service("other", "elsewhere")], unprivileged_start=1024)
    found = env({}, sources)
    assert found["CART_API_SERVICE_HOST"] == "127.96.0.9"
    assert found["CART_API_SERVICE_PORT"] == found["CART_API_SERVICE_PORT_HTTP"] == "10080"
    assert found["CART_API_PORT_80_TCP"] == "tcp://127.96.0.9:10080"
    assert "OTHER_SERVICE_HOST" not in found
    assert env({}, Sources(services=[service("a")]))["A_SERVICE_PORT"] == "80"


def test_kubernetes_is_there_even_without_service_links() -> None:
    sources = Sources(services=[service("kubernetes", "default"), service("cart")])
    found = env({}, sources, {**POD, "spec": {"enableServiceLinks": False}})
    assert found["KUBERNETES_SERVICE_HOST"] == "127.96.0.9"
    assert "CART_SERVICE_HOST" not in found


def test_fields_and_resources() -> None:
    container = {
        "resources": {"limits": {"cpu": "1500m"}},
        "env": [
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        ],
    }
    assert env(container) == {"IP": "127.64.0.1", "L": "x", "CPU": "2", "MEM": "1024"}


def test_what_is_missing_is_named_unless_optional() -> None:
    ref = {"name": "m", "key": "k"}
    entry = {"env": [{"name": "V", "valueFrom": {"secretKeyRef": ref}}]}
    with pytest.raises(ConfigError, match='secret "m" not found'):
        env(entry, Sources(secrets={"m": None}))
    with pytest.raises(ConfigError, match="couldn't find key k in Secret shop/m"):
        env(entry, Sources(secrets={"m": {"kind": "Secret", "data": {}}}))
    optional = {"env": [{"name": "V", "valueFrom": {"secretKeyRef": {**ref, "optional": True}}}]}
    assert env(optional, Sources(secrets={"m": None})) == {}
    assert references(entry) == (set(), {"m"})
