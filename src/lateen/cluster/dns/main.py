"""The DNS server's process. Started by ``feed`` through the ``system`` shim, outside the pods' network: it answers on sockets that
were made inside, and asks the machine's resolvers as any program of the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import time
from pathlib import Path

from lateen.aio.clock import SystemClock
from lateen.cluster.dns.control import Control
from lateen.cluster.dns.forward import Forwarder
from lateen.cluster.dns.server import DnsServer
from lateen.cluster.dns.zone import Zone


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="lateen-dns")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--resolvers", type=Path, default=Path("/etc/resolv.conf"))
    parser.add_argument("--domain", default="cluster.local")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_serve(options.socket, options.resolvers, options.domain))


async def _serve(path: Path, resolvers: Path, domain: str) -> None:
    loop = asyncio.get_running_loop()
    zone = Zone(domain)
    server = DnsServer(zone, Forwarder(resolvers, SystemClock()))
    running = asyncio.current_task()
    assert running is not None
    loop.add_signal_handler(signal.SIGTERM, running.cancel)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    try:
        await Control(path, zone, server, lambda: int(time.time())).run()
    except asyncio.CancelledError:
        logging.getLogger(__name__).info("told to end")
    finally:
        await server.close()


if __name__ == "__main__":
    main()
