"""What ``lateen image import`` takes, what it refuses, and what ``prune`` leaves."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lateen.errors import FailedError, InputError
from lateen.images import platform, prune
from lateen.images.archive import load
from lateen.images.blobs import BlobWriter
from lateen.images.layout import LAYER, ImageStore
from lateen.images.reference import Digest, parse


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def oci(name: str, *, other_platform: bool = False) -> dict[str, bytes]:
    """The files of an OCI archive whose one name leads to a list of images."""
    layer = tar({"etc/hello": b"hi"})
    config = json.dumps({"config": {"Cmd": ["/x"]}, "rootfs": {"diff_ids": [sha(layer)]}}).encode()
    blobs = {sha(b): b for b in (layer, config)}

    def put(document: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(document).encode()
        blobs[sha(data)] = data
        return {"digest": sha(data), "size": len(data)}

    manifest = put(
        {"config": {"digest": sha(config), "size": len(config)}, "layers": [{"mediaType": LAYER, "digest": sha(layer), "size": 1}]}
    )
    wanted = "s390x" if other_platform else platform.architecture()
    listed = put({"manifests": [{**manifest, "platform": {"os": "linux", "architecture": wanted}}]})
    index = {"manifests": [{**listed, "annotations": {"org.opencontainers.image.ref.name": name}}]}
    files = {f"blobs/sha256/{digest[7:]}": data for digest, data in blobs.items()}
    return {"oci-layout": b"{}", "index.json": json.dumps(index).encode(), **files}


def docker(*, wrong: bool = False) -> dict[str, bytes]:
    layer = tar({"a": b"1"})
    config = {"config": {"Cmd": ["/a"]}, "rootfs": {"diff_ids": [sha(b"other" if wrong else layer)]}}
    manifest = [{"Config": "c.json", "RepoTags": ["shop/db:1"], "Layers": ["l/layer.tar"]}]
    return {"c.json": json.dumps(config).encode(), "l/layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def written(tmp_path: Path, files: dict[str, bytes], *, zipped: bool = False) -> Path:
    path = tmp_path / "archive.tar"
    path.write_bytes(gzip.compress(tar(files)) if zipped else tar(files))
    return path


def test_an_oci_archive_keeps_its_digest_and_name(store: ImageStore, tmp_path: Path) -> None:
    (image,) = load(store, written(tmp_path, oci("docker.io/library/web:2"), zipped=True))
    assert image.names == ("docker.io/library/web:2",)
    found = store.resolve("web:2")
    assert found is not None
    assert found.digest == image.digest
    assert found.config["Cmd"] == ["/x"]
    assert (store.rootfs(found) / "etc/hello").read_text() == "hi"


def test_an_archive_without_a_name_needs_a_tag(store: ImageStore, tmp_path: Path) -> None:
    path = written(tmp_path, oci("latest"))
    with pytest.raises(InputError, match="has no name"):
        load(store, path)
    (image,) = load(store, path, ["shop/web:3", "shop/web"])
    assert image.names == ("shop/web:3", "shop/web:latest")


def test_an_image_of_another_machine_is_refused(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(FailedError, match=r"no match for platform linux/.*it has linux/s390x"):
        load(store, written(tmp_path, oci("a:1", other_platform=True)))


def test_changed_content_is_refused_and_leaves_nothing(store: ImageStore, tmp_path: Path) -> None:
    files = oci("a:1")
    layer = next(name for name, data in files.items() if b"etc/hello" in data)
    files[layer] = files[layer].replace(b"hi", b"ho")
    with pytest.raises(FailedError, match="failed to verify"):
        load(store, written(tmp_path, files))
    assert store.images() == []
    assert not store.blob(Digest(f"sha256:{layer.rpartition('/')[2]}")).exists()


def test_a_docker_archive(store: ImageStore, tmp_path: Path) -> None:
    (image,) = load(store, written(tmp_path, docker()))
    assert image.names == ("shop/db:1",)
    assert (store.rootfs(image) / "a").read_text() == "1"
    with pytest.raises(FailedError, match="failed to verify the layer"):
        load(store, written(tmp_path, docker(wrong=True)))


def test_a_root_file_system_is_the_same_image_each_time(store: ImageStore, tmp_path: Path) -> None:
    path = written(tmp_path, {"bin/sh": b"#!"})
    (first,), (second,) = load(store, path, ["root:1"]), load(store, path, ["root:2"])
    assert first.digest == second.digest
    assert first.config["Cmd"] == ["/bin/sh"]
    assert {n for i in store.images() for n in i.names} == {"root:1", "root:2"}


@pytest.mark.parametrize(
    "content", [b"", b"no tar at all" * 100, gzip.compress(b"x", mtime=0)[:-3]], ids=["empty", "text", "cut off"]
)
def test_what_is_no_archive_is_said(content: bytes, store: ImageStore, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not an archive that can be read"):
        load(store, path, ["a"])


def test_a_damaged_layer_is_found_and_can_be_brought_again(store: ImageStore, tmp_path: Path) -> None:
    path = written(tmp_path, oci("a:1"))
    (image,) = load(store, path)
    store.blob(image.layers[0]).write_bytes(b"rotten")
    with pytest.raises(FailedError, match="was damaged and is removed"):
        store.rootfs(image)
    load(store, path)
    assert (store.rootfs(image) / "etc/hello").read_text() == "hi"


def test_prune_keeps_what_names_and_clusters_need(store: ImageStore, tmp_path: Path) -> None:
    (kept,) = load(store, written(tmp_path, docker()), ["kept:1"])
    (gone,) = load(store, written(tmp_path, oci("gone:1")))
    store.rootfs(gone)
    assert prune.prune(store).blobs == 1  # the list that led to it
    cluster = tmp_path / "cluster"
    cluster.mkdir()
    prune.uses(store, cluster, [gone.digest])
    assert store.untag(["docker.io/library/gone:1", "never:1"]) == ["gone:1"]
    assert prune.prune(store).blobs == 0
    with store.writing():
        cluster.rmdir()
        assert prune.prune(store).blobs == 0  # somebody writes
    assert prune.prune(store).blobs == 3
    assert list((store.root / "rootfs").iterdir()) == []
    assert [i.digest for i in store.images()] == [kept.digest]
    assert store.rootfs(kept).exists()


def test_a_broken_download_is_continued_but_not_believed(store: ImageStore) -> None:
    data = b"abcdef"
    digest = Digest(sha(data))
    with BlobWriter(store, digest) as blob:
        blob.write(data[:3])
    with BlobWriter(store, digest) as blob, BlobWriter(store, digest) as beside:
        assert (blob.size, beside.size) == (3, 0)  # two at once do not write into one file
        blob.write(data[3:])
        blob.commit()
    assert store.blob(digest).read_bytes() == data
    with BlobWriter(store, Digest(sha(b"other"))) as blob, pytest.raises(FailedError, match="failed to verify"):
        blob.write(data)
        blob.commit()
    assert list((store.root / "ingest").iterdir()) == []


def test_names_have_one_full_spelling() -> None:
    assert [(r.registry, r.path) for r in map(parse, ("nginx", "shop/web", "localhost/a", "docker.io/nginx", "r.io:5/a/b"))] == [
        ("docker.io", "library/nginx"),
        ("docker.io", "shop/web"),
        ("localhost", "a"),
        ("docker.io", "library/nginx"),
        ("r.io:5", "a/b"),
    ]
