"""The controllers seen through kubectl: certificates, quotas, jobs of cron jobs, autoscalers. One cluster with a fake node."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lateen.testing.embedded import EmbeddedCluster

pytestmark = pytest.mark.peer
KUBECTL = Path(__file__).parents[2] / ".venv/bin/kubectl"


class Kubectl:
    def __init__(self, cluster: EmbeddedCluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder

    async def run(self, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        env = {"KUBECONFIG": str(self.cluster.kubeconfig), "HOME": str(self.folder), "KUBECACHEDIR": str(self.folder)}
        command = [str(KUBECTL), *args]
        return await asyncio.to_thread(
            subprocess.run, command, input=stdin, capture_output=True, text=True, timeout=60, env=env, check=False
        )

    async def __call__(self, *args: str, stdin: str = "") -> str:
        result = await self.run(*args, stdin=stdin)
        assert result.returncode == 0, f"kubectl {' '.join(args)}\n{result.stdout}{result.stderr}"
        return result.stdout

    async def until(self, wanted: str, *args: str) -> str:
        async def look() -> str:
            out = (await self.run(*args)).stdout
            return out if wanted in " ".join(out.split()) else ""

        return await self.cluster.eventually(look)


@pytest.fixture
def kubectl(lateen_cluster: EmbeddedCluster, tmp_path: Path) -> Kubectl:
    return Kubectl(lateen_cluster, tmp_path)


def request_for(user: str, group: str, folder: Path) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / f"{user}.key").write_bytes(pem)
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, user)]
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject)).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def signing_request(name: str, request: str, **spec: Any) -> str:
    spec = {"signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"], "request": request, **spec}
    metadata = {"name": name}
    return json.dumps(
        {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": metadata, "spec": spec}
    )


async def test_an_approved_request_gives_a_user(kubectl: Kubectl, lateen_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    request = request_for("jane", "shop", tmp_path)
    await kubectl("apply", "-f-", stdin=signing_request("jane", request, expirationSeconds=3600))
    row = await kubectl("get", "csr", "jane", "--no-headers")
    assert row.split()[2:] == ["kubernetes.io/kube-apiserver-client", "kubernetes-admin", "60m", "Pending"]
    assert "approved" in await kubectl("certificate", "approve", "jane")
    await kubectl.until("Approved,Issued", "get", "csr", "jane", "--no-headers")
    issued = base64.b64decode(await kubectl("get", "csr", "jane", "-o", "jsonpath={.status.certificate}"))
    certificate = x509.load_pem_x509_certificate(issued)
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds() == 3600 + 300
    (tmp_path / "jane.crt").write_bytes(issued)
    options = ["--client-certificate", str(tmp_path / "jane.crt"), "--client-key", str(tmp_path / "jane.key")]
    bare = ["--kubeconfig=/dev/null", "--server", lateen_cluster.server, "--insecure-skip-tls-verify"]
    who = json.loads(await kubectl(*bare, *options, "auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert who["username"] == "jane"
    assert who["groups"] == ["shop", "system:authenticated"]


async def test_what_is_not_signed(kubectl: Kubectl, tmp_path: Path) -> None:
    masters = signing_request("boss", request_for("boss", "system:masters", tmp_path))
    refused = await kubectl.run("apply", "-f-", stdin=masters)
    assert "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed" in refused.stderr
    bad = await kubectl.run("apply", "-f-", stdin=signing_request("bad", base64.b64encode(b"x").decode()))
    assert "PEM block type must be CERTIFICATE REQUEST" in bad.stderr
    request = request_for("eve", "shop", tmp_path)
    await kubectl("apply", "-f-", stdin=signing_request("eve", request, usages=["server auth"]))
    maker = await kubectl.run("certificate", "approve", "eve", "--as=eve", "--as-group=approvers")
    assert "forbidden" in maker.stderr
    rule = ["--verb=get,update", "--resource=certificatesigningrequests,certificatesigningrequests/approval"]
    await kubectl("create", "clusterrole", "approver", *rule)
    await kubectl("create", "clusterrolebinding", "approver", "--clusterrole=approver", "--group=approvers")
    maker = await kubectl.run("certificate", "approve", "eve", "--as=eve", "--as-group=approvers")
    said = 'user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"'
    assert said in maker.stderr
    await kubectl("certificate", "approve", "eve")
    await kubectl.until("Approved,Failed", "get", "csr", "eve", "--no-headers")
    await kubectl("apply", "-f-", stdin=signing_request("no", request))
    await kubectl("certificate", "deny", "no")
    assert "Denied" in await kubectl("get", "csr", "no", "--no-headers")


async def test_quotas_jobs_and_autoscalers(kubectl: Kubectl) -> None:
    await kubectl("create", "quota", "q", "--hard=pods=2,requests.memory=1Gi,count/jobs.batch=1")
    await kubectl.until("pods 0 2", "describe", "quota", "q")
    alone = await kubectl.run("run", "alone", "--image=busybox")
    said = 'pods "alone" is forbidden: failed quota: q: must specify requests.memory for: alone'
    assert said in alone.stderr
    await kubectl("create", "deployment", "web", "--image=busybox", "--replicas=0")
    await kubectl("set", "resources", "deployment/web", "--requests=memory=256Mi")
    await kubectl("scale", "deployment/web", "--replicas=3")
    await kubectl.until("requests.memory 512Mi 1Gi", "describe", "quota", "q")
    await kubectl.until("exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2", "get", "events")
    await kubectl("create", "cronjob", "tick", "--image=busybox", "--schedule=0 0 1 1 *", "--", "true")
    await kubectl("create", "job", "now", "--from=cronjob/tick")
    again = await kubectl.run("create", "job", "again", "--from=cronjob/tick")
    assert "exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=1" in again.stderr
    assert "cronjob.kubernetes.io/instantiate: manual" in await kubectl("describe", "job", "now")
    assert "0 0 1 1 *" in await kubectl("describe", "cronjob", "tick")
    await kubectl("autoscale", "deployment", "web", "--min=1", "--max=5", "--cpu=50%")
    await kubectl.until("Deployment/web cpu: <unknown>/50% 1 5", "get", "hpa", "web")
    assert "ScalingActive" in await kubectl.until("AbleToScale", "describe", "hpa", "web")
