"""Names of signals as pods and images write them. Pure."""

from __future__ import annotations

import signal


def number(name: str) -> int:
    """SIGTERM, TERM, 15 or SIGRTMIN+3; SIGTERM for what is none of these."""
    text = name.upper()
    if text.isdigit():
        return int(text)
    text = text if text.startswith("SIG") else f"SIG{text}"
    base, sign, offset = text.partition("+") if "+" in text else text.partition("-")
    found = getattr(signal, base, None)
    if not isinstance(found, signal.Signals):
        return int(signal.SIGTERM)
    return int(found) + (int(sign + offset) if offset.isdigit() else 0)
