"""Probes and lifecycle hooks of containers."""

from __future__ import annotations

from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, non_negative, one_of, port
from lateen.kube.validation.errors import forbidden, invalid, required

_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def probe(found: Object, at: str, *, once: bool) -> Errors:
    """A probe; ``once``: one success is enough (liveness, startup)."""
    yield from handler(found, at, ("exec", "httpGet", "tcpSocket", "grpc"))
    yield from non_negative(found, at, *_NUMBERS)
    grace = found.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        yield invalid(f"{at}.terminationGracePeriodSeconds", grace, "must be greater than 0")
    if once and found.get("successThreshold", 1) != 1:
        yield invalid(f"{at}.successThreshold", found["successThreshold"], "must be 1")


def lifecycle(found: Object, at: str) -> Errors:
    """postStart and preStop."""
    for name in ("postStart", "preStop"):
        if found.get(name) is not None:
            yield from handler(found[name], f"{at}.{name}", ("exec", "httpGet", "tcpSocket", "sleep"))


def handler(found: Object, at: str, known: tuple[str, ...]) -> Errors:
    """Exactly one way to act, and that one complete."""
    given = [name for name in known if found.get(name) is not None]
    if not given:
        yield required(at, "must specify a handler type")
    for name in given[1:]:
        yield forbidden(f"{at}.{name}", "may not specify more than 1 handler type")
    for name in given[:1]:
        yield from _CHECKS[name](found[name], f"{at}.{name}")


def _exec(action: Object, at: str) -> Errors:
    if not action.get("command"):
        yield required(f"{at}.command")


def _http(action: Object, at: str) -> Errors:
    if not action.get("path"):
        yield required(f"{at}.path")
    yield from port(action.get("port"), f"{at}.port")
    yield from one_of(action, "scheme", at, ("HTTP", "HTTPS"))
    for i, header in enumerate(action.get("httpHeaders") or ()):
        if not header.get("name"):
            yield required(f"{at}.httpHeaders[{i}].name")


def _tcp(action: Object, at: str) -> Errors:
    yield from port(action.get("port"), f"{at}.port")


def _sleep(action: Object, at: str) -> Errors:
    yield from non_negative(action, at, "seconds")


_CHECKS = {"exec": _exec, "httpGet": _http, "tcpSocket": _tcp, "grpc": _tcp, "sleep": _sleep}
