"""Health checks of a Compose service. A curl or wget of itself becomes the request it makes: an image need not hold curl."""

from __future__ import annotations

import re
import shlex
from typing import Any

from lateen.adopt.compose.values import duration, number, plain_seconds, text, truth
from lateen.kube.yamltext import Node, fault

_LOCAL = re.compile(r"http://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(\d+))?(/\S*)?")
_FLAGS = re.compile(r"-[a-zA-Z]+|--(?:fail|silent|show-error|quiet|spider|tries=\d+|no-verbose|head|location)|/dev/null|\d+|-")
_PATIENT = 600


def health(service: Node, ports: set[int]) -> dict[str, Any]:
    """``health`` of the service, and ``rollout`` where it starts slowly."""
    node = service.get("healthcheck")
    if node is None or node.data is None or truth(node.get("disable")):
        return {}
    test = node.get("test")
    if test is None:
        return {}  # only the image's own check was tuned
    command = _command(test)
    if not command:
        return {}
    probe: dict[str, Any] = _request(command, ports) or {"exec": command}
    probe |= _times(node)
    result: dict[str, Any] = {"health": {"ready": probe}}
    start = node.get("start_period")
    if start is not None and (seconds := duration(start)) > _PATIENT:
        result["rollout"] = {"deadline": plain_seconds(seconds)}
    return result


def _times(node: Node) -> dict[str, Any]:
    """Compose's defaults are slower than Kubernetes': 30 s between checks, and 30 s for each."""
    times = {"period": node.get("interval"), "timeout": node.get("timeout")}
    found: dict[str, Any] = {k: plain_seconds(duration(v)) if v is not None else 30 for k, v in times.items()}
    retries = number(node.get("retries"), default=3)
    return found | ({"failures": retries} if retries != 3 else {})


def _command(test: Node) -> list[str]:
    if not isinstance(test.data, list):
        return ["/bin/sh", "-c", text(test)]
    words = [text(n) for n in test.data]
    match words[:1]:
        case ["NONE"] | []:
            return []
        case ["CMD"]:
            return words[1:]
        case ["CMD-SHELL"]:
            return ["/bin/sh", "-c", " ".join(words[1:])]
    raise fault(f"a check begins with NONE, CMD or CMD-SHELL, not with {words[0]!r}", test.data[0].mark)


def _request(command: list[str], ports: set[int]) -> dict[str, Any] | None:
    """The request that a plain curl or wget of the container's own port makes."""
    if command[:2] == ["/bin/sh", "-c"]:
        line = re.sub(r"\s*\|\|\s*(exit\s+1|false)\s*$", "", command[2])
        if re.search(r"[|&;<>`$]", line):
            return None
        try:
            command = shlex.split(line)
        except ValueError:
            return None
    if command[:1] not in (["curl"], ["wget"]):
        return None
    urls = [m for word in command[1:] if (m := _LOCAL.fullmatch(word))]
    others = [word for word in command[1:] if not _LOCAL.fullmatch(word) and not _FLAGS.fullmatch(word)]
    port = int(urls[0][1] or 80) if len(urls) == 1 else 0
    if len(urls) != 1 or others or port not in ports or ":" in (urls[0][2] or ""):
        return None
    return {"get": f"{urls[0][2] or '/'}:{port}"}
