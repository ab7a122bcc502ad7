"""Content on its way into the store: hashed as it is written, visible only when complete and right.

Used by ``archive`` (blobs of unknown or known digest) and ``registry.pull`` (which continues what an earlier attempt left).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from lateen.errors import FailedError
from lateen.images.layout import ImageStore
from lateen.images.reference import Digest

_PIECE = 1 << 20


class BlobWriter:
    """One blob. With a ``digest``, what was written stays for the next attempt when this one breaks off; ``size`` is how far."""

    def __init__(self, store: ImageStore, digest: Digest | None = None) -> None:
        self._store, self._digest = store, digest
        self._folder = store.root / "ingest"
        self._folder.mkdir(parents=True, exist_ok=True)
        (store.root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        self._path, self._file, self._keep = self._open()
        self._hash, self.size = hashlib.sha256(), 0
        while piece := self._file.read(_PIECE):
            self._hash.update(piece)
            self.size += len(piece)

    def _open(self) -> tuple[Path, BinaryIO, bool]:
        if self._digest:
            path = self._folder / self._digest.removeprefix("sha256:")
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                    return path, file, True
            except BlockingIOError:
                pass  # somebody else fetches the same: not into one file
            file.close()
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".blob-")
        return Path(name), os.fdopen(handle, "r+b"), False

    def write(self, data: bytes | bytearray) -> None:
        """The next bytes."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def restart(self) -> None:
        """Forget what was written."""
        self._file.seek(0)
        self._file.truncate()
        self._hash, self.size = hashlib.sha256(), 0

    def commit(self) -> Digest:
        """Make it a blob of the store. FailedError, and nothing is kept, when it is not what the digest says."""
        found = Digest("sha256:" + self._hash.hexdigest())
        if self._digest and found != self._digest:
            self.restart()
            raise FailedError(f"failed to verify {self._digest}: the content is {found}")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._path.chmod(0o644)
        self._path.replace(self._store.blob(found))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        if not self._keep or (kind is None and not self.size):
            self._path.unlink(missing_ok=True)
