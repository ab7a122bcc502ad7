"""Addresses: one per pod, blocks per ServiceAccount, kept on disk, the first block left out where the bridge has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lateen.cluster.node.networks.book import AddressBook
from lateen.kube.addresses import pod_network, service_network
from lateen.kube.meta import Key


def pod(uid: str, account: str = "default") -> Any:
    return {"metadata": {"uid": uid, "namespace": "d", "name": uid}, "spec": {"serviceAccountName": account}}


def test_a_network_of_its_own_keeps_its_first_block(tmp_path: Path) -> None:
    network = pod_network(3, own=True)
    assert (str(network), str(service_network(3, own=True))) == ("10.67.0.0/16", "10.99.0.0/16")
    book = AddressBook(tmp_path, network, first=1)
    assert [book.take(pod("a")), book.take(pod("b")), book.take(pod("c", "other"))] == ["10.67.1.1", "10.67.1.2", "10.67.2.1"]
    assert book.blocks(Key("d", "other")) == ["10.67.2.0/24"]
    assert book.give_back("a") == "10.67.1.1" and not book.has("a") and book.give_back("a") == ""


def test_addresses_are_kept_and_not_reused_at_once(tmp_path: Path) -> None:
    network = pod_network(0, own=True)
    first = AddressBook(tmp_path, network, first=1)
    for uid in ("a", "b"):
        first.take(pod(uid))
    (tmp_path / "stranger").write_text("10.64.0.7 d/default")  # of the block that is not given away
    again = AddressBook(tmp_path, network, first=1)
    assert again.take(pod("b")) == "10.64.1.2"
    again.give_back("b")
    assert again.take(pod("c")) == "10.64.1.3"
    assert not (tmp_path / "stranger").exists()
