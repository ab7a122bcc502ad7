"""Layers of an image, unpacked once each into ``layers/<digest>`` beside the layout, in the form that overlayfs stacks.

Called by the node agent for images with a root file system of their own.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from lateen.errors import FailedError
from lateen.images.layout import Image, ImageStore
from lateen.images.reference import Digest
from lateen.images.unpack import unpack


def unpacked(store: ImageStore, image: Image) -> list[Path]:
    """The folders of the image's layers, lowest first. Nobody writes to them again. FailedError for a damaged one. Blocking."""
    return [_layer(store, digest) for digest in image.layers]


def _layer(store: ImageStore, digest: str) -> Path:
    target = store.root / "layers" / digest.removeprefix("sha256:")
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpack-"))
    try:
        unpack(store.verified(Digest(digest)), scratch, stacked=True)
        scratch.chmod(0o755)
        scratch.rename(target)
    except FailedError as error:
        raise FailedError(f"layer {digest}: {error}") from error
    except OSError:
        if not target.exists():  # somebody else was faster with the same content
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target
