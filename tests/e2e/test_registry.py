"""Pulling from and pushing to Debian's docker-registry, by the command line and by pods."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from image_registry import login, registry, write_login
from oci_images import busybox, need
from test_oci_cluster import Rig

from lateen.images.layout import ImageStore

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


def lateen(home: Path, *argv: str, code: int = 0, more: Mapping[str, str] | None = None) -> str:
    env = {**os.environ, "LATEEN_HOME": str(home), "HOME": str(home), **(more or {})}
    env.pop("DOCKER_CONFIG", None)
    done = subprocess.run([sys.executable, "-m", "lateen", *argv], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_an_image_goes_to_the_registry_and_comes_back_the_same(host: str, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    root = tmp_path / "root.tar"
    with tarfile.open(root, "w") as tar:
        tar.add(__file__, "etc/test")
    lateen(ours, "image", "import", str(root), "--tag", f"{host}/shop/web:1")
    assert "does not let this user push there" in lateen(ours, "image", "push", f"{host}/shop/web:1", code=1)
    write_login(ours, host)
    (pushed,) = json.loads(lateen(ours, "image", "push", f"{host}/shop/web:1", "-o", "json"))
    assert (pushed["sent"], pushed["mounted"], pushed["there"]) == (2, 0, 0)
    (again,) = json.loads(lateen(ours, "image", "push", f"{host}/shop/web:1", "-o", "json"))
    assert (again["sent"], again["there"]) == (0, 2)
    (other,) = json.loads(lateen(ours, "image", "push", f"{host}/shop/web:1", "--as", f"{host}/shop/copy:1", "-o", "json"))
    assert other["mounted"] == 1

    assert "pull access denied" in lateen(theirs, "image", "pull", f"{host}/shop/web:1", code=1)
    write_login(theirs, host)
    for name in (f"{host}/shop/web:1", pushed["reference"]):
        (pulled,) = json.loads(lateen(theirs, "image", "pull", name, "-o", "json"))
        assert pushed["reference"].endswith(pulled["digest"])
    assert "not found" in lateen(theirs, "image", "pull", f"{host}/shop/web:never", code=1)


def base_image(store: ImageStore, name: str) -> None:
    """busybox with something that is called like Python."""
    busybox(store, name, {"usr/local/bin/python3.12": "#!/bin/sh"}, Env=["PATH=/bin", "KEPT=1"], Entrypoint=["env"])


def write_application(folder: Path, host: str, build: str) -> Path:
    (folder / "web").mkdir(parents=True, exist_ok=True)
    (folder / "web/main.py").write_text("hello")
    (folder / "web/Dockerfile").write_text(f'FROM {host}/team/base:1\nCOPY main.py /srv/\nCMD ["cat", "/srv/main.py"]\n')
    file = folder / "lateen.yaml"
    file.write_text(f"name: shop\nregistry: {host}/out\nservices:\n  web: {{kind: worker, build: {build}}}\n")
    return file


def test_a_build_on_a_base_is_pushed_and_is_the_same_everywhere(host: str, tmp_path: Path) -> None:
    need("busybox-static")
    maker = tmp_path / "maker"
    write_login(maker, host)
    base_image(ImageStore(maker / "images"), f"{host}/team/base:1")
    lateen(maker, "image", "push", f"{host}/team/base:1")
    digests = []
    for n in ("one", "two"):
        write_login(tmp_path / n, host)
        file = write_application(tmp_path / n / "src", host, "web")
        argv = ["build", "-f", str(file), "--base", f"{host}/team/base:1", "--push", "-o", "json"]
        digests += [built["image"] for built in json.loads(lateen(tmp_path / n, *argv))]
    assert digests[0] == digests[1]
    lateen(maker, "image", "pull", digests[0])
    image = ImageStore(maker / "images").resolve(digests[0])
    assert image is not None
    assert (image.config["Cmd"], image.config["Entrypoint"]) == (["python", "main.py"], ["env"])
    assert {"KEPT=1", "PATH=/deps/bin:/bin"} < set(image.config["Env"])
    assert len(image.layers) == 4
    root = ImageStore(maker / "images").rootfs(image)
    assert (root / "deps/bin/python").readlink() == Path("/usr/local/bin/python3.12")
    assert not list((root / "app").rglob("*.pyc"))  # made by another Python than the base's


def test_a_dockerfile_is_built_by_buildah(host: str, tmp_path: Path) -> None:
    need("buildah", "busybox-static")
    home = tmp_path / "home"
    write_login(home, host)
    base_image(ImageStore(home / "images"), f"{host}/team/base:1")
    lateen(home, "image", "push", f"{host}/team/base:1")
    (home / "registries.conf").write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
    (home / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{home}/graph"\nrunroot = "{home}/run"\n')
    more = {
        "CONTAINERS_REGISTRIES_CONF": str(home / "registries.conf"),
        "CONTAINERS_STORAGE_CONF": str(home / "storage.conf"),
        "REGISTRY_AUTH_FILE": str(home / ".docker/config.json"),
        "BUILDAH_ISOLATION": "chroot",
    }
    file = write_application(tmp_path, host, "{context: web, dockerfile: Dockerfile}")
    (built,) = json.loads(lateen(home, "build", "-f", str(file), "-o", "json", more=more))
    image = ImageStore(home / "images").resolve(built["image"])
    assert image is not None
    assert image.config["Cmd"] == ["cat", "/srv/main.py"]
    assert (ImageStore(home / "images").rootfs(image) / "srv/main.py").read_text() == "hello"


def waiting(reason: str, pod: Any) -> bool:
    (status,) = pod["status"].get("containerStatuses") or [{}]
    return bool((status.get("state", {}).get("waiting") or {}).get("reason") == reason)


def test_pods_pull_with_their_secrets(host: str, tmp_path: Path) -> None:
    need("crun", "busybox-static")
    rig = Rig(tmp_path / "home")
    try:
        rig.lateen("cluster", "start")
        if json.loads(rig.lateen("cluster", "status", "-o", "json"))["runtime"] == "process":
            pytest.skip("no containers for this user here")
        maker = tmp_path / "maker"
        write_login(maker, host)
        busybox(ImageStore(maker / "images"), f"{host}/team/bb:1")
        lateen(maker, "image", "push", f"{host}/team/bb:1")
        secret = f"--from-literal=.dockerconfigjson={json.dumps(login(host))}"
        rig.kubectl("create", "secret", "generic", "reg", "--type=kubernetes.io/dockerconfigjson", secret)
        container = {"image": f"{host}/team/bb:1", "imagePullPolicy": "Always"}
        rig.run("denied", "sleep 100", container=container)
        script = (
            "test -x /data/bin/busybox || exit 3; touch /data/new && exit 4; echo mounted; trap 'exit 0' TERM; sleep 100 & wait"
        )
        mounting = container | {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        volume = {"name": "data", "image": {"reference": f"{host}/team/bb:1"}}
        rig.run("let", script, container=mounting, volumes=[volume], imagePullSecrets=[{"name": "reg"}])
        rig.run("never", "true", container={"image": f"{host}/team/other:1", "imagePullPolicy": "Never"})
        rig.run("wrong", "true", container={"image": "UPPER/case", "imagePullPolicy": "Always"})
        rig.until("let", lambda pod: pod["status"]["phase"] == "Running")
        waits = {"denied": "ImagePullBackOff", "never": "ErrImageNeverPull", "wrong": "InvalidImageName"}
        for name, reason in waits.items():
            rig.until(name, partial(waiting, reason))
        assert "mounted" in rig.kubectl("logs", "let")
        events = rig.kubectl("get", "events", "--field-selector=involvedObject.name=let", "-o", "jsonpath={.items[*].message}")
        assert f'Pulling image "{host}/team/bb:1"' in events
        assert "including waiting). Image size: " in events
    finally:
        rig.lateen("cluster", "stop")
