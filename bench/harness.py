"""The frame of every bench: find it, calibrate the machine, run it, print and keep its figures.

A bench is a module ``bench/bench_<name>.py`` with a function ``run()`` that yields Figures. The calibration is measured in the same
run: what this machine does in pure Python, in TLS and in fsync, so that figures of different machines and moments can be compared.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
Bench = Callable[[], Iterable["Figure"]]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value. ``target`` is a floor, or a ceiling with ``at_most``; None when there is none."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = False
    note: str = ""
    detail: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


def find() -> dict[str, Bench]:
    """Every bench, by name."""
    found: dict[str, Bench] = {}
    for path in sorted(HERE.glob("bench_*.py")):
        module = importlib.import_module(f"bench.{path.stem}")
        found[path.stem.removeprefix("bench_")] = module.run
    return found


def run(name: str, bench: Bench) -> int:
    """Run one bench; the number of missed targets."""
    print(f"\n{name}")
    calibration = [calibrate()]
    figures = []
    for figure in bench():
        figures.append(figure)
        print("  " + line(figure), flush=True)
    calibration.append(calibrate())
    means = {key: statistics.mean(c[key] for c in calibration) for key in calibration[0]}
    print("  calibration: " + ", ".join(f"{key} {value:,.0f}" for key, value in means.items()))
    keep(name, figures, means)
    return sum(figure.met is False for figure in figures)


def line(figure: Figure) -> str:
    verdict = {None: "", True: "ok", False: "MISSED"}[figure.met]
    target = f"{'<=' if figure.at_most else '>='} {figure.target:,g}" if figure.target is not None else ""
    text = f"{figure.name:44} {figure.value:12,.2f} {figure.unit:8} {target:12} {verdict:7} {figure.note}"
    return text.rstrip()


def keep(name: str, figures: list[Figure], calibration: dict[str, float]) -> None:
    RESULTS.mkdir(exist_ok=True)
    moment = datetime.now(UTC)
    document = {
        "bench": name,
        "at": moment.isoformat(),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "calibration": calibration,
        "figures": [asdict(f) | {"met": f.met} for f in figures],
    }
    (RESULTS / f"{moment:%Y%m%dT%H%M%S}-{name}.json").write_text(json.dumps(document, indent=1))


def calibrate() -> dict[str, float]:
    """What the machine does now: Python loop turns per second, TLS megabytes per second, fsyncs per second."""
    return {"python_loops_per_s": _python(), "tls_mb_per_s": _tls(), "fsyncs_per_s": _fsync()}


def _python() -> float:
    start, turns, table = time.perf_counter(), 0, dict[int, int]()
    while time.perf_counter() - start < 0.2:
        for i in range(1000):
            table[i & 255] = i
        turns += 1000
    return turns / (time.perf_counter() - start)


def _tls() -> float:
    """Encrypt and decrypt through memory, with the cipher Python and OpenSSL agree on here."""
    certificate, key = self_signed()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cert").write_bytes(certificate)
        (Path(folder) / "key").write_bytes(key)
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(Path(folder) / "cert", Path(folder) / "key")
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = client_context.wrap_bio(down, up), server_context.wrap_bio(up, down, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
    piece, start, done = b"x" * 16_000, time.perf_counter(), 0
    while time.perf_counter() - start < 0.2:
        client.write(piece)
        done += len(server.read(16_384))
    return done / (time.perf_counter() - start) / 1e6


def self_signed() -> tuple[bytes, bytes]:
    """A certificate for 127.0.0.1 and its key, PEM."""
    from datetime import timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


def _fsync() -> float:
    with tempfile.NamedTemporaryFile(dir=scratch()) as file:
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < 0.2:
            file.write(b"x" * 512)
            file.flush()
            os.fsync(file.fileno())
            count += 1
        return count / (time.perf_counter() - start)


def scratch() -> Path:
    """Where benches write: a real disk, unless BENCH_DIR says otherwise."""
    path = Path(os.environ.get("BENCH_DIR") or "/var/tmp")
    return path if path.is_dir() else Path(tempfile.gettempdir())


def folder() -> tempfile.TemporaryDirectory[str]:
    """A folder on the scratch disk that goes away."""
    return tempfile.TemporaryDirectory(prefix="lateen-bench-", dir=scratch())


def percentile(values: Iterable[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def chunks(total: int, size: int) -> Iterator[range]:
    for start in range(0, total, size):
        yield range(start, min(total, start + size))
