"""A cluster whose DNS server cannot start says so, at once and where people look; it goes on trying."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from net_rig import NetCluster, eventually, net_cluster

pytestmark = [pytest.mark.unprivileged, pytest.mark.timeout(60)]


def events(net: NetCluster) -> dict[str, str]:
    found = net.get("events", "-n", "kube-system", "--field-selector", "involvedObject.name=kube-dns")["items"]
    return {e["reason"]: e["message"] for e in found}


def test_it_is_said_that_there_is_no_dns(tmp_path: Path) -> None:
    hindrance = tmp_path / "home/clusters/default/system/dns.log"
    hindrance.mkdir(parents=True)  # the server's log cannot be opened: it does not start
    with net_cluster(tmp_path / "home") as net:
        said = json.loads(net.lateen("cluster", "start", "-o", "json").stdout)["dns_problem"]
        assert "dns.log" in said
        eventually(lambda: "DNSUnavailable" in events(net))
        assert events(net)["DNSUnavailable"] == f"pods can look up no names: {said}"
        assert (net.folder / "daemon.log").read_text().count("there is no DNS") == 1
        hindrance.rmdir()
        eventually(lambda: "DNSReady" in events(net))
