"""Ingresses and TLS on Gateways, asked from the machine by host, path and SNI, on a cluster with a network of its own."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from net_rig import NetCluster, eventually, net_cluster, pod, service

pytestmark = [pytest.mark.unprivileged, pytest.mark.timeout(120)]
SERVER = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        said = f"{os.environ['HOSTNAME']} {self.headers['X-Forwarded-Proto']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Answer).serve_forever()
"""


def named(kind: str, version: str, name: str, spec: Any, **meta: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **meta}, "spec": spec}


def ingress(name: str, **spec: Any) -> dict[str, Any]:
    return named("Ingress", "networking.k8s.io/v1", name, spec)


def path(value: str, to: str, kind: str = "Prefix", port: Any = 80) -> dict[str, Any]:
    number = {"name": port} if isinstance(port, str) else {"number": port}
    return {"path": value, "pathType": kind, "backend": {"service": {"name": to, "port": number}}}


def secret(name: str, *hosts: str) -> tuple[dict[str, Any], str]:
    """A Secret with a new certificate for ``hosts``, and that certificate."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
    made = made.not_valid_after(now + timedelta(hours=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in hosts]), critical=False)
    pem = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    data = {"tls.crt": pem, "tls.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())}
    encoded = {k: base64.b64encode(v).decode() for k, v in data.items()}
    meta = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls"}
    return {**meta, "data": encoded}, pem.decode()


def ask(place: tuple[str, int], host: str, target: str = "/", *, trusted: str = "") -> tuple[int, str]:
    """Status and body; over TLS to ``host`` if a certificate is ``trusted``. (0, reason) when nobody answers."""
    try:
        wire: socket.socket = socket.create_connection(place, 3)
        if trusted:
            wire = ssl.create_default_context(cadata=trusted).wrap_socket(wire, server_hostname=host)
    except OSError as error:
        return 0, str(error)
    asked = http.client.HTTPConnection(host)
    asked.sock = wire
    try:
        asked.request("GET", target, headers={"Host": host})
        answer = asked.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        asked.close()


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetCluster]:
    with net_cluster(tmp_path_factory.mktemp("ingress")) as made:
        ports = [{"name": "web", "port": 80, "targetPort": 8080, "appProtocol": "http"}]
        probe = {"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}
        for name in ("one", "two"):
            made.apply(service(name, ports=ports, selector={"app": name}), pod(name, SERVER, labels={"app": name}, container=probe))
        made.ready("one", "two")
        yield made


def places(net: NetCluster, name: str, count: int) -> list[tuple[str, int]]:
    """Where an Ingress listens, once its status says so for ``count`` ports."""

    def found() -> list[tuple[str, int]]:
        entries = net.get("ingress", name)["status"].get("loadBalancer", {}).get("ingress", [])
        return [(e["ip"], p["port"]) for e in entries for p in e["ports"]]

    result: list[tuple[str, int]] = eventually(lambda: (at := found()) and len(at) == count and at)
    return result


def test_an_ingress_leads_by_host_and_path(net: NetCluster) -> None:
    paths = [path("/", "one", "ImplementationSpecific"), path("/two", "two", port="web"), path("/exact", "two", "Exact")]
    rules = [{"host": "shop.test", "http": {"paths": paths}}, {"host": "*.wild.test", "http": {"paths": [path("/", "two")]}}]
    net.apply(ingress("rules", rules=rules))
    assert net.get("ingress", "rules")["spec"]["ingressClassName"] == "lateen"
    (at,) = places(net, "rules", 1)
    said = {t: ask(at, "shop.test", t)[1].split()[:1] for t in ("/", "/two", "/two/x", "/twofold", "/exact", "/exact/x")}
    assert said == {"/": ["one"], "/two": ["two"], "/two/x": ["two"], "/twofold": ["one"], "/exact": ["two"], "/exact/x": ["one"]}
    assert ask(at, "a.wild.test")[1].startswith("two")
    assert [ask(at, h)[0] for h in ("a.b.wild.test", "wild.test", "else.test")] == [404, 404, 404]
    assert at[0] in net.kubectl("get", "ingress", "rules")
    net.apply(ingress("rest", defaultBackend={"service": {"name": "one", "port": {"number": 80}}}))
    eventually(lambda: ask(at, "else.test", "/any")[1].startswith("one"))
    net.kubectl("delete", "ingress", "rest", "rules")
    eventually(lambda: ask(at, "shop.test")[0] == 0)


def test_an_ingress_speaks_tls_by_name(net: NetCluster) -> None:
    first, one = secret("first", "one.test")
    second, two = secret("second", "two.test")
    rules = [{"host": f"{n}.test", "http": {"paths": [path("/", n)]}} for n in ("one", "two")]
    tls = [{"hosts": ["one.test"], "secretName": "first"}, {"hosts": ["two.test"], "secretName": "second"}]
    net.apply(first, ingress("tls", rules=rules, tls=tls))
    _, secure = places(net, "tls", 2)
    assert ask(secure, "one.test", trusted=one) == (200, "one https")
    assert ask(secure, "two.test", trusted=two)[0] == 0
    events = eventually(lambda: net.kubectl("events", "--for", "ingress/tls", "--types=Warning"))
    assert "there is no Secret default/second of type kubernetes.io/tls" in events
    net.apply(second)
    eventually(lambda: ask(secure, "two.test", trusted=two) == (200, "two https"))
    net.apply(ingress("tls", rules=rules, tls=tls, ingressClassName="somebody-else"))
    eventually(lambda: not net.get("ingress", "tls")["status"].get("loadBalancer", {}).get("ingress"))
    assert ask(secure, "one.test", trusted=one)[0] == 0


def listener_conditions(net: NetCluster) -> dict[str, dict[str, tuple[str, str]]]:
    listeners = net.get("gateway", "door").get("status", {}).get("listeners", [])
    return {x["name"]: {c["type"]: (c["status"], c["reason"]) for c in x["conditions"]} for x in listeners}


def test_a_gateway_ends_tls_by_name_with_certificates_that_it_may_use(net: NetCluster) -> None:
    mine, one = secret("mine", "one.test")
    theirs, two = secret("theirs", "two.test")
    broken, _ = secret("broken", "three.test")
    broken["data"]["tls.key"] = theirs["data"]["tls.key"]
    theirs["metadata"]["namespace"] = "vault"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    refs = {"one": {"name": "mine"}, "two": {"name": "theirs", "namespace": "vault"}, "three": {"name": "broken"}}
    listeners = [
        {"name": n, "port": port, "protocol": "HTTPS", "hostname": f"{n}.test", "tls": {"certificateRefs": [ref]}}
        for n, ref in refs.items()
    ]
    api, space = "gateway.networking.k8s.io/v1", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vault"}}
    routes = [
        named(
            "HTTPRoute",
            api,
            n,
            {
                "parentRefs": [{"name": "door"}],
                "hostnames": [f"{n}.test"],
                "rules": [{"backendRefs": [{"name": n, "port": 80}]}],
            },
        )
        for n in ("one", "two")
    ]
    net.apply(space, mine, theirs, broken, named("Gateway", api, "door", {"gatewayClassName": "lateen", "listeners": listeners}))
    net.apply(*routes)
    bad, good = ("False", "Invalid"), ("True", "Programmed")
    eventually(lambda: listener_conditions(net).get("one", {}).get("Programmed") == good)
    found = {n: (c["ResolvedRefs"], c["Programmed"]) for n, c in listener_conditions(net).items()}
    assert found == {
        "one": (("True", "ResolvedRefs"), good),
        "two": (("False", "RefNotPermitted"), bad),
        "three": (("False", "InvalidCertificateRef"), bad),
    }
    gateway = net.get("gateway", "door")["status"]
    address = gateway["addresses"][0]["value"]
    assert {"type": "lateen.dev/https", "value": f"https://{address}:{port}"} in gateway["addresses"]
    at = (address, port)
    eventually(lambda: ask(at, "one.test", trusted=one) == (200, "one https"))
    assert ask(at, "two.test", trusted=two)[0] == 0
    permit = {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "default"}],
        "to": [{"group": "", "kind": "Secret", "name": "theirs"}],
    }
    net.apply(named("ReferenceGrant", api, "for-door", permit, namespace="vault"))
    eventually(lambda: ask(at, "two.test", trusted=two) == (200, "two https"))
    assert listener_conditions(net)["two"]["Programmed"] == good
    renewed, again = secret("mine", "one.test")
    net.apply(renewed)
    eventually(lambda: ask(at, "one.test", trusted=again) == (200, "one https"))
    assert json.dumps(gateway["conditions"]).count("ListenersNotValid") == 1
