"""The real skopeo accepts what ``lateen build`` writes."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from lateen.images.build import BuildRequest, build
from lateen.images.layout import ImageStore


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed (apt-get install skopeo)")
def test_skopeo_inspects_the_layout(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").write_text("print(1)\n")
    built = build(ImageStore(tmp_path / "store"), BuildRequest(name="shop/web", context=tmp_path / "app", labels={"a": "b"}))
    name = f"oci:{tmp_path / 'store'}:shop/web:latest"
    seen = json.loads(subprocess.run(["skopeo", "inspect", name], check=True, capture_output=True).stdout)
    assert seen["Digest"] == built.image.digest
    assert seen["Labels"]["a"] == "b"
    assert len(seen["Layers"]) == 2
    config = json.loads(subprocess.run(["skopeo", "inspect", "--config", name], check=True, capture_output=True).stdout)
    assert config["config"]["WorkingDir"] == "/app"
    subprocess.run(["skopeo", "copy", name, f"oci-archive:{tmp_path / 'copy.tar'}:copy"], check=True, capture_output=True)
