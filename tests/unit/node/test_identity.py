"""Host names and /etc/hosts of pods."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.cluster.node import signals
from lateen.cluster.node.identity import domain, kernel_name, managed_hosts, short_name
from lateen.errors import FailedError
from lateen.kube.meta import Object


def pod(name: str = "web-0", **spec: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec, "status": {"podIPs": [{"ip": "10.1.0.2"}]}}


def test_names() -> None:
    assert kernel_name(pod()) == "web-0"
    assert short_name(pod("x" * 62 + "-yz")) == "x" * 62
    assert kernel_name(pod(hostname="a", subdomain="db")) == "a"
    assert domain(pod(hostname="a", subdomain="db")) == "db.shop.svc.cluster.local"
    assert kernel_name(pod(hostname="a", subdomain="db", setHostnameAsFQDN=True)) == "a.db.shop.svc.cluster.local"
    assert kernel_name(pod(setHostnameAsFQDN=True)) == "web-0"
    assert kernel_name(pod(hostname="a", hostnameOverride="b.example")) == "b.example"


def test_a_full_name_that_no_kernel_takes_is_refused() -> None:
    with pytest.raises(FailedError, match=r"too long \(64 characters is the max, 86 characters requested\)"):
        kernel_name(pod(hostname="a" * 60, subdomain="db", setHostnameAsFQDN=True))


def test_hosts() -> None:
    aliases = [{"ip": "10.9.9.9", "hostnames": ["foo.local", "bar.local"]}]
    text = managed_hosts(pod(hostname="a", subdomain="db", hostAliases=aliases), {}, "")
    assert text is not None
    lines = text.splitlines()
    assert "127.0.0.1\tlocalhost" in lines
    assert "10.1.0.2\ta.db.shop.svc.cluster.local\ta" in lines
    assert lines[-1] == "10.9.9.9\tfoo.local\tbar.local"
    assert "10.1.0.2\tweb-0" in str(managed_hosts(pod(), {}, "")).splitlines()


def test_pods_of_the_nodes_network_start_from_its_file() -> None:
    text = managed_hosts(pod(hostNetwork=True, hostAliases=[{"ip": "1.2.3.4", "hostnames": ["x"]}]), {}, "9.9.9.9 node\n")
    assert text is not None and "9.9.9.9 node" in text and "1.2.3.4\tx" in text and "web-0" not in text


def test_a_container_may_bring_its_own() -> None:
    assert managed_hosts(pod(), {"volumeMounts": [{"name": "h", "mountPath": "/etc/hosts"}]}, "") is None


@pytest.mark.parametrize(
    ("name", "number"), [("SIGTERM", 15), ("SIGUSR1", 10), ("quit", 3), ("SIGRTMIN+3", 37), ("9", 9), ("x", 15)]
)
def test_signals(name: str, number: int) -> None:
    assert signals.number(name) == number
