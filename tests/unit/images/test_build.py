import tarfile
from pathlib import Path

import pytest

from lateen.errors import FailedError, InputError
from lateen.images.build import BuildRequest, build
from lateen.images.layout import ImageStore, unpack_layer
from lateen.images.reference import parse


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
    unpack_layer(blob, root)
    assert not (root / "etc/old").exists()
    with tarfile.open(blob, "w") as tar:
        tar.addfile(tarfile.TarInfo("../outside"))
    with pytest.raises(FailedError, match="outside of its root"):
        unpack_layer(blob, root)
