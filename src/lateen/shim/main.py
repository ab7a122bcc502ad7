"""The shim process: ``python -m lateen.shim --dir DIR --socket PATH --name NAME`` (the client adds ``-I -S``, for less memory).

It ends with 0 as soon as the socket listens, leaving a process of its own session behind; with 3 when another shim owns DIR.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import socket
import sys

from lateen.shim import BUSY, namespaces
from lateen.shim.server import Server
from lateen.shim.syscalls import become_subreaper, set_name


def main() -> None:
    """Lock the folder, listen, detach, serve until told to stop."""
    parser = argparse.ArgumentParser(prog="lateen-shim")
    for option in ("--dir", "--socket", "--name"):
        parser.add_argument(option, required=True)
    parser.add_argument("--within", type=int, default=0, help="live in the namespaces of this process")
    options = parser.parse_args()
    os.makedirs(options.dir, mode=0o700, exist_ok=True)
    lock = os.open(os.path.join(options.dir, "shim.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(BUSY)
    listener = _listen(options.socket)
    if options.within:
        namespaces.enter(options.within)
    if os.fork():
        os._exit(0)  # whoever started us now knows that we listen, and has nobody to wait for
    os.setsid()
    os.truncate(lock, 0)
    os.write(lock, b"%d" % os.getpid())
    become_subreaper()
    set_name("lateen-shim")
    server = Server(options.dir, listener)
    server.run()
    os.unlink(options.socket)


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(path):
        os.unlink(path)  # left by a killed shim: we hold the lock, so nobody listens there
    mask = os.umask(0o077)
    listener.bind(path)
    os.umask(mask)
    listener.listen(64)
    listener.setblocking(False)
    return listener


if __name__ == "__main__":
    main()
