import hashlib
import tarfile
from pathlib import Path

import pytest

from lateen.errors import FailedError, InputError
from lateen.images import base, layers, source
from lateen.images.build import BuildRequest, build
from lateen.images.layout import LAYER, ImageStore
from lateen.images.reference import parse
from lateen.images.unpack import unpack


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "pkg").mkdir(parents=True)
    (folder / "main.py").write_text("print('hello')\n")
    (folder / "pkg" / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "pkg" / "tool.sh").chmod(0o755)
    (folder / "secret.env").write_text("KEY=1")
    (folder / ".dockerignore").write_text("*.env\n")
    return folder


def test_same_source_is_the_same_digest_in_two_stores(app: Path, tmp_path: Path) -> None:
    first = build(ImageStore(tmp_path / "a"), BuildRequest(name="shop/web", context=app))
    second = build(ImageStore(tmp_path / "b"), BuildRequest(name="shop/web", context=app))
    assert (first.image.digest, first.cached) == (second.image.digest, False)
    assert first.reference == f"shop/web@{first.image.digest}"


def test_rebuild_is_cached_and_a_change_is_a_new_digest_while_the_tag_moves(app: Path, tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store")
    first = build(store, BuildRequest(name="shop/web", context=app))
    assert build(store, BuildRequest(name="shop/web", context=app)).cached
    (app / "main.py").write_text("print('changed')\n")
    second = build(store, BuildRequest(name="shop/web", context=app))
    assert second.image.digest != first.image.digest
    latest = store.resolve("shop/web:latest")
    assert latest is not None
    assert latest.digest == second.image.digest
    assert store.resolve(first.reference) is not None


def test_rootfs_holds_application_and_interpreter_but_nothing_ignored(app: Path, tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store")
    root = store.rootfs(build(store, BuildRequest(name="web", context=app)).image)
    assert (root / "app/main.py").read_text() == "print('hello')\n"
    assert (root / "app/pkg/tool.sh").stat().st_mode & 0o111
    assert (root / "deps/bin/python3").is_symlink()
    assert list((root / "app/__pycache__").glob("main.*.pyc"))
    assert not (root / "app/secret.env").exists()


def test_inputs_narrow_the_context(app: Path, tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store")
    root = store.rootfs(build(store, BuildRequest(name="web", context=app, inputs=["pkg/**"])).image)
    assert (root / "app/pkg/tool.sh").exists()
    assert not (root / "app/main.py").exists()


def test_a_wrong_context_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        build(ImageStore(tmp_path / "s"), BuildRequest(name="web", context=tmp_path / "none"))


@pytest.mark.parametrize("text", ["UPPER/case", "a//b", "name:tag:tag", "", "x@sha256:12"])
def test_bad_references_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)


def test_references_round_trip() -> None:
    digest = "sha256:" + "a" * 64
    assert parse("registry.example.com:5000/shop/web:1.2").repository == "registry.example.com:5000/shop/web"
    assert str(parse("web")) == "web:latest"
    assert str(parse(f"web@{digest}")) == f"web@{digest}"


def test_whiteouts_remove_and_a_layer_cannot_leave_its_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/old").write_text("x")
    blob = tmp_path / "layer.tar"
    with tarfile.open(blob, "w") as tar:
        tar.addfile(tarfile.TarInfo("etc/.wh.old"))
    unpack(blob, root, stacked=False)
    assert not (root / "etc/old").exists()
    with tarfile.open(blob, "w") as tar:
        tar.addfile(tarfile.TarInfo("../outside"))
    with pytest.raises(FailedError, match="outside of its root"):
        unpack(blob, root, stacked=False)


def test_a_layer_may_name_its_root(tmp_path: Path) -> None:
    """``tar -C folder .`` begins with ``./``."""
    blob = tmp_path / "layer.tar"
    with tarfile.open(blob, "w") as tar:
        root = tarfile.TarInfo("./")
        root.type, root.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(root)
        tar.addfile(tarfile.TarInfo("./here"))
    unpack(blob, tmp_path / "root", stacked=False)
    assert (tmp_path / "root/here").exists()
    store = ImageStore(tmp_path / "store")
    config = {"os": "linux", "config": {}, "rootfs": {"diff_ids": ["sha256:" + hashlib.sha256(blob.read_bytes()).hexdigest()]}}
    image = store.put_image(config=config, layers=[{"mediaType": LAYER, **store.put_blob(blob.read_bytes())}], names=["a:1"])
    (tree,) = layers.unpacked(store, image)
    assert (tree / "here").exists()
    assert tree.stat().st_mode & 0o777 == 0o755


def base_image(store: ImageStore, *names: str, labels: dict[str, str] | None = None) -> None:
    data, diff = source.layer([source.Entry(path=name, data=b"#!") for name in names], "/")
    config = {"os": "linux", "config": {"Env": ["A=1"], "Labels": labels or {}}, "rootfs": {"diff_ids": [diff]}}
    store.put_image(config=config, layers=[{"mediaType": LAYER, **store.put_blob(data)}], names=["base:1"])


def test_packages_are_chosen_for_the_bases_python_and_c_library(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store")
    base_image(store, "usr/bin/python3.13", "usr/local/bin/python3.9", "usr/local/bin/python3.10", "lib/ld-musl-x86_64.so.1")
    found = base.image(store, "base:1")
    assert found.python == base.Python(path="/usr/local/bin/python3.10", version="3.10", musl=True)
    arguments = " ".join(found.pip())
    assert "--python-version 3.10 --platform musllinux_1_2_" in arguments
    assert base.image(store, "base:1") == found  # from the cache
    assert base.host().pip() == []


def test_a_base_must_be_there_have_a_python_for_packages_and_be_no_hosts(app: Path, tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store")
    with pytest.raises(InputError, match="is not in the store"):
        build(store, BuildRequest(name="a", context=app, base="base:1"))
    base_image(store, "bin/sh")
    built = build(store, BuildRequest(name="a", context=app, base="base:1"))
    assert len(built.image.layers) == 3
    assert "A=1" in built.image.config["Env"]
    assert built.image.config["Labels"]["org.opencontainers.image.base.name"] == "base:1"
    (app / "requirements.txt").write_text("x")
    with pytest.raises(InputError, match="has no Python"):
        build(store, BuildRequest(name="a", context=app, base="base:1"))
    base_image(store, "bin/sh", labels={"dev.lateen.base": "host x"})
    with pytest.raises(InputError, match="can be no base"):
        build(store, BuildRequest(name="a", context=app, base="base:1"))


def test_a_dockerfile_without_a_tool_is_told(app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ImageStore(tmp_path / "store")
    with pytest.raises(InputError, match="there is no Dockerfile"):
        build(store, BuildRequest(name="a", context=app, dockerfile="Dockerfile"))
    (app / "Dockerfile").write_text("FROM scratch")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="none of them is installed"):
        build(store, BuildRequest(name="a", context=app, dockerfile="Dockerfile"))
