"""Health checks and the lifecycle of pods: does the cluster learn in time that a pod is ready, sick, or leaving."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lateen.check.exposure import store
from lateen.check.finding import Hit, Severity
from lateen.check.manifest import mapping
from lateen.check.practice import on, usual
from lateen.check.registry import check
from lateen.check.workload import Container, Workload
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
_SLOW = (
    "java",
    "jdk",
    "jre",
    "spring",
    "tomcat",
    "wildfly",
    "keycloak",
    "elasticsearch",
    "opensearch",
    "jenkins",
    "sonarqube",
    "kafka",
)


def _listening(world: World) -> Iterator[Container]:
    """The containers that serve somebody: with ports, or alone behind a Service."""
    for w in world.serving:
        main = w.main
        for c in main:
            if c.ports or (len(main) == 1 and world.fronts(w)):
                yield c


@check(
    "LT-REL-103",
    "liveness probe missing",
    WARNING,
    why="A process that hangs is never restarted.",
    fix="add a livenessProbe on something that only fails when the process itself is stuck",
)
def no_liveness(world: World) -> Iterator[Hit]:
    listening = list(_listening(world))
    common = usual(listening, lambda c: "livenessProbe" in c.data)
    for c in listening:
        if not c.data.get("livenessProbe"):
            severity = INFO if store(c.workload) or (c.data.get("readinessProbe") and not common) else WARNING
            yield on(c, "livenessProbe", say="has no liveness probe", severity=severity)


@check(
    "LT-REL-104",
    "readiness probe missing",
    WARNING,
    why="Traffic is sent to a pod before it can answer, and goes on when it no longer can: every rollout loses requests.",
    fix="add a readinessProbe on what tells that the service can answer",
)
def no_readiness(world: World) -> Iterator[Hit]:
    for c in _listening(world):
        if not c.data.get("readinessProbe"):
            severity = WARNING if c.ports or world.fronts(c.workload) or not world.services else INFO
            yield on(c, "readinessProbe", say="has no readiness probe", severity=severity)


@check(
    "LT-REL-105",
    "slow starter without startup probe",
    WARNING,
    why="Either liveness kills it while it starts, or its delay also hides a hang later.",
    fix="add a startupProbe with failureThreshold x periodSeconds above the longest start; drop initialDelaySeconds",
)
def no_startup(world: World) -> Iterator[Hit]:
    for c in world.containers:
        liveness = mapping(c.data.get("livenessProbe"))
        if not liveness or c.data.get("startupProbe"):
            continue
        delay = liveness.get("initialDelaySeconds", 0)
        if isinstance(delay, int) and delay >= 60:
            yield on(c, "livenessProbe", "initialDelaySeconds", say=f"waits {delay} s before its first liveness check")
        elif any(word in c.image.lower() for word in _SLOW) and isinstance(delay, int) and delay + _window(liveness) < 60:
            yield on(c, "livenessProbe", say=f"starts slowly ({c.image}) and is killed after {delay + _window(liveness)} s")


def _window(probe: dict[str, Any]) -> int:
    """The seconds of failure after which a probe acts."""
    values = [probe.get(k, d) for k, d in (("periodSeconds", 10), ("failureThreshold", 3))]
    return int(values[0]) * int(values[1]) if all(isinstance(v, int) for v in values) else 30


def _what(probe: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in probe.items() if k in ("httpGet", "tcpSocket", "exec", "grpc")}


@check(
    "LT-REL-106",
    "liveness and readiness are the same",
    INFO,
    why="When the check fails for load or for a dependency, the pod is killed instead of only left alone for a while.",
    fix="let liveness ask only whether the process is alive, or make it much more patient than readiness",
)
def same_probes(world: World) -> Iterator[Hit]:
    for c in world.containers:
        live, ready = mapping(c.data.get("livenessProbe")), mapping(c.data.get("readinessProbe"))
        if live and _what(live) == _what(ready) and _what(live) and _window(live) <= _window(ready):
            yield on(c, "livenessProbe", say="asks the same for liveness as for readiness, with the same patience")


@check(
    "LT-REL-107",
    "liveness depends on another service",
    ERROR,
    why="When the other service is down every pod of this one is restarted: one failure becomes two.",
    fix="check only the process itself for liveness; dependencies belong into readiness, or into the code",
)
def liveness_downstream(world: World) -> Iterator[Hit]:
    for c in world.containers:
        probe = mapping(c.data.get("livenessProbe"))
        command = " ".join(str(w) for w in mapping(probe.get("exec")).get("command") or ())
        own = {s.name for s in world.fronts(c.workload)} | {c.workload.name, "localhost"}
        for service in world.services if command else ():
            if service.name not in own and _names_host(command, service.name):
                yield on(c, "livenessProbe", "exec", say=f"is killed when {service.name} does not answer (liveness)")
        path = str(mapping(probe.get("httpGet")).get("path", "")).lower()
        if any(word in path for word in ("/db", "database", "dependenc", "downstream", "upstream", "redis", "health/ready")):
            yield on(c, "livenessProbe", "httpGet", "path", say=f"asks {path} for liveness: what it depends on", severity=WARNING)


def _names_host(text: str, name: str) -> bool:
    import re

    return re.search(rf"(//|@|-h\s*|--host[= ]|\bnc\s+(-\S+\s+)*|\s){re.escape(name)}([.:/\s]|$)", text) is not None


@check(
    "LT-REL-108",
    "probe asks a port that the container does not have",
    ERROR,
    why="The probe fails for ever: the pod never gets ready, or is killed again and again.",
    fix="use the number or the name of a containerPort",
)
def probe_port(world: World) -> Iterator[Hit]:
    for c in world.containers:
        names = {str(p.get("name")) for p in c.ports if p.get("name")}
        numbers = {n for p in c.ports if isinstance(n := p.get("containerPort"), int)}
        for probe_name, probe in c.probes():
            for action in ("httpGet", "tcpSocket", "grpc"):
                port = mapping(probe.get(action)).get("port")
                if isinstance(port, str) and not port.isdigit() and port not in names:
                    yield on(
                        c, probe_name, action, "port", say=f"is asked on the port {port!r}, which it does not have ({probe_name})"
                    )
                elif isinstance(port, int) and numbers and port not in numbers and len(c.workload.main) == 1:
                    say = f"is asked on port {port}, which it does not declare ({probe_name})"
                    yield on(c, probe_name, action, "port", say=say, severity=WARNING)


@check(
    "LT-REL-109",
    "probe that cannot work in time",
    WARNING,
    why="A timeout longer than the period means overlapping checks; a failure window of a few seconds kills pods for a pause.",
    fix="timeoutSeconds below periodSeconds; failureThreshold x periodSeconds above the longest pause",
)
def probe_times(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for name, probe in c.probes():
            timeout, period = probe.get("timeoutSeconds", 1), probe.get("periodSeconds", 10)
            if isinstance(timeout, int) and isinstance(period, int) and timeout > period:
                yield on(c, name, "timeoutSeconds", say=f"is asked every {period} s and may take {timeout} s to answer ({name})")
            if name == "livenessProbe" and probe.get("failureThreshold") == 1:
                yield on(c, name, "failureThreshold", say=f"is killed after a single failed check ({name})")
            elif name == "livenessProbe" and _window(probe) < 5:
                yield on(c, name, say=f"is killed after {_window(probe)} s without an answer ({name})")


@check(
    "LT-REL-122",
    "grace period too short",
    WARNING,
    why="When the grace period ends before the preStop hook and the open requests, they are cut off.",
    fix="terminationGracePeriodSeconds above the preStop sleep plus the longest request",
)
def grace(world: World) -> Iterator[Hit]:
    for w in world.serving:
        seconds = w.pod.get("terminationGracePeriodSeconds", 30)
        if not isinstance(seconds, int):
            continue
        sleep = max((_sleep(c) for c in w.containers), default=0)
        if sleep and sleep >= seconds:
            say = f"the preStop hook takes {sleep} s, the grace period is {seconds} s"
            yield Hit(w.manifest, w.path("terminationGracePeriodSeconds"), say, ERROR)
        elif seconds == 0 or (seconds < 5 and world.fronts(w)):
            yield Hit(
                w.manifest, w.path("terminationGracePeriodSeconds"), f"the pods are killed {seconds} s after they are told to stop"
            )


def _sleep(c: Container) -> int:
    """The seconds that the preStop hook waits."""
    import re

    hook = mapping(c.at("lifecycle", "preStop"))
    seconds = mapping(hook.get("sleep")).get("seconds")
    if isinstance(seconds, int):
        return seconds
    command = " ".join(str(x) for x in mapping(hook.get("exec")).get("command") or ())
    found = re.search(r"\bsleep\s+(\d+)", command)
    return int(found.group(1)) if found else 0


@check(
    "LT-REL-123",
    "no time to drain",
    INFO,
    why="A pod gets traffic for a moment after it was told to stop: without a pause these requests are refused.",
    fix="add lifecycle.preStop.sleep: {seconds: 5}, or let lateen's data plane drain",
)
def no_drain(world: World) -> Iterator[Hit]:
    for w in world.serving:
        if world.fronts(w) and not any(c.at("lifecycle", "preStop") for c in w.main) and _managed(w):
            yield Hit(
                w.manifest, (*w.main[0].path, "lifecycle") if w.main else w.path(), "the pods stop at once, without a preStop pause"
            )


def _managed(w: Workload) -> bool:
    return w.manifest.labels.get("app.kubernetes.io/managed-by") != "lateen"
