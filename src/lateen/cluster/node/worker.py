"""One pod on this node, from binding to removal: observe, decide, do. One worker per pod UID, started by the agent.

The worker is the only writer of the pod's status. It is woken by every change (the pod, a container's end, a probe, the gate, a
timer), looks at everything anew, asks ``decide`` for the steps and carries them out in tasks; so it can be stopped at any moment
and a new one, after a restart of the daemon, goes on from what the runtime and the last written status say.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lateen.aio.tasks import TaskOwner, gather
from lateen.cluster.node.container import Container
from lateen.cluster.node.context import NodeContext
from lateen.cluster.node.decide import EPHEMERAL, INIT, MAIN, SIDECAR, Steps, decide, kind_of
from lateen.cluster.node.identity import kernel_name
from lateen.cluster.node.pulling import default_policy, image_folder
from lateen.cluster.node.resize import Resizer
from lateen.cluster.node.seam import ContainerState, PodAddress
from lateen.cluster.node.status import TRAFFIC_READY, PodFacts, containers_ready, initial_start_time, patch_for, pod_status
from lateen.cluster.node.timing import Deadline
from lateen.cluster.node.volumes import Volumes
from lateen.errors import ApiError, FailedError, LateenError, NotFoundError, TransportError
from lateen.kube.meta import Object, condition_true, meta, parse_time, uid_of
from lateen.kube.resources import PODS, RUNTIMECLASSES

log = logging.getLogger(__name__)
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_WAITING = ("WaitingForContainers", "")
_REFRESH_AGAIN = 10.0  # seconds until volumes that could not be refreshed are tried again
_EVICTION_GRACE = 1.0
_RESIZE_AGAIN = 10.0  # seconds until a resize that had to wait is tried again
_SETTLE = 0.25  # seconds that the first status waits, so that a quick start is one write less
_RESERVE = 2.0  # seconds of the grace period that are kept for SIGTERM when the proxies do not answer


class PodWorker:
    """``states`` are the attempts of this pod that the runtime knows already."""

    def __init__(self, context: NodeContext, pod: Object, states: Sequence[ContainerState] = ()) -> None:
        self.context, self.pod, self.uid = context, pod, uid_of(pod)
        self._owner = TaskOwner(f"pod {meta(pod).get('namespace')}/{meta(pod).get('name')}")
        self._wake = asyncio.Event()
        self._volumes = Volumes(
            context.client,
            context.clock,
            folder=context.pod_folder(self.uid) / "volumes",
            allocatable=context.allocatable,
            memory=context.memory_folder(self.uid),
            images=lambda ref, policy: image_folder(context, self.pod, ref, policy or default_policy(ref)),
        )
        self._address: PodAddress | None = None
        self._states, self._gone, self._deadline = list(states), False, None
        self._start_time = initial_start_time(pod, context.clock.now())
        self._first_report = context.clock.monotonic() + _SETTLE
        self._phase = self._reason = self._message = ""
        self._admission: asyncio.Task[None] | None = None
        self._traffic: bool | tuple[str, str] = True if condition_true(pod, TRAFFIC_READY) else _WAITING
        self._refresh, self._refresh_held = False, 0.0
        self.resizer = Resizer(context, pod)
        self.taken = False
        self.containers = [self._container(self.resizer.given(c), kind) for c, kind in _containers(pod)]

    _deadline: Deadline | None
    _winding_down: Deadline | None = None
    _evicted = _handler = ""

    def _container(self, spec: Mapping[str, Any], kind: str) -> Container:
        return Container(
            self.context,
            spec,
            kind,
            pod=self._visible,
            volumes=self._volumes,
            network=lambda: self._address,
            changed=self._wake.set,
            owner=self._owner,
        )

    def _visible(self) -> Object:
        """The pod with its address, whether or not the API server has it yet, and with the handler that its RuntimeClass names."""
        pod = self.pod
        if self._handler:
            pod = {**pod, "spec": {**pod["spec"], "runtimeClassName": self._handler}}
        if self._address is None:
            return {"apiVersion": "v1", "kind": "Pod", **pod}
        ips = {"podIP": self._address.ip, "podIPs": [{"ip": self._address.ip}]}
        hosts = {"hostIP": self._address.host_ip, "hostIPs": [{"ip": self._address.host_ip}]}
        return {"apiVersion": "v1", "kind": "Pod", **pod, "status": {**(pod.get("status") or {}), **ips, **hosts}}

    # Told by the agent

    def update(self, pod: Object) -> None:
        """The API server has a newer pod."""
        if _version(pod) < _version(self.pod):
            return
        old, self.pod = self.pod, pod
        if meta(old).get("labels") != meta(pod).get("labels") or meta(old).get("annotations") != meta(pod).get("annotations"):
            self._refresh = True
        known = {c.name: c for c in self.containers}
        for spec, _ in _containers(pod):
            if spec["name"] in known:
                known[spec["name"]].declare(self.resizer.given(spec))
        self.containers += [self._container(c, kind) for c, kind in _containers(pod) if c["name"] not in known]
        if self._deadline is not None:
            self._deadline.shorten(self._deadline.at - max(0, _grace(old) - _grace(pod)))
        self._wake.set()

    def gone(self) -> None:
        """The API server has no such pod any more."""
        self._gone = True
        if self._deadline is not None:
            self._deadline.shorten(self.context.clock.monotonic())
        self._wake.set()

    def refresh(self) -> None:
        """A ConfigMap or Secret of the namespace changed."""
        self._refresh = True
        for container in self.containers:
            container.release()
        self._wake.set()

    def attempt(self, container: str) -> ContainerState | None:
        """The newest attempt of a container by its name."""
        return next((c.current for c in self.containers if c.name == container), None)

    def running(self) -> list[tuple[str, ContainerState]]:
        """Running containers by name, with their attempts."""
        return [(c.name, c.current) for c in self.containers if c.current is not None and c.running]

    def spec(self, container: str) -> Mapping[str, Any]:
        """A container as the pod declares it. KeyError without such a one."""
        return {c.name: c.spec for c in self.containers}[container]

    def names(self) -> list[str]:
        """The containers' names."""
        return [c.name for c in self.containers if c.kind != EPHEMERAL]

    def empty_volumes(self) -> dict[str, Path]:
        """Where the emptyDir volumes lie, by name."""
        found = [v["name"] for v in (self.pod.get("spec") or {}).get("volumes") or () if "emptyDir" in v]
        return {name: self._volumes.paths[name] for name in found if name in self._volumes.paths}

    def evict(self, message: str) -> None:
        """End for good: the node needs what the pod uses, or the pod uses more than it may. ``message`` says so."""
        if self._evicted or self.finished:
            return
        self._evicted = message
        self._winding_down = Deadline(self.context.clock, _EVICTION_GRACE)
        self.context.recorder.warning(self._visible(), "Evicted", message)
        self._wake.set()

    @property
    def finished(self) -> bool:
        """Whether the pod has its last phase."""
        return bool(self._phase)

    @property
    def removed(self) -> bool:
        """Whether the object is gone."""
        return self._gone

    @property
    def ending(self) -> bool:
        return self._gone or bool(meta(self.pod).get("deletionTimestamp"))

    # Life

    async def run(self) -> None:
        """Until the pod has gone from this node."""
        try:
            await self._run()
        finally:
            for container in self.containers:
                await container.stop_probes()

    async def _run(self) -> None:
        async with self._owner:
            if not self._finished_before() and not await self._refused():
                await self._prepare()
                self._adopt()
                await self._live()
            if self._phase:
                await asyncio.to_thread(self._release)
            while not self.ending:
                await self._report()
                await self._pause(None)
            await self._end()
            while not self.removed:  # a finalizer may hold the object for a while: the pod has ended here all the same
                await self._pause(None)

    def _finished_before(self) -> bool:
        """Whether the pod had ended for good before this daemon saw it."""
        status = self.pod.get("status") or {}
        if status.get("phase") not in ("Succeeded", "Failed"):
            return False
        self._phase, self._reason, self._message = status["phase"], status.get("reason") or "", status.get("message") or ""
        self._adopt()  # so that what is said of it stays
        return True

    async def _refused(self) -> bool:
        """Whether the node does not take this new pod."""
        new = not self._states and not (self.pod.get("status") or {}).get("startTime")
        found = await self.context.refuses(self.pod) if new else None
        self.taken = found is None
        if found is not None and found.reason == "Evicted":
            self.evict(found.message)
            self._phase, self._reason, self._message = "Failed", "Evicted", found.message
        elif found is not None:
            self.context.recorder.warning(self._visible(), found.reason, found.message)
            self._phase, self._reason, self._message = "Failed", found.reason, f"Pod was rejected: {found.message}"
        return found is not None

    def _release(self) -> None:
        """What a pod that has ended for good needs no more; its logs stay. Blocking."""
        folder = self.context.pod_folder(self.uid)
        for path in (folder / "volumes", folder / "changes", self.context.memory_folder(self.uid)):
            shutil.rmtree(path, ignore_errors=True)

    async def _prepare(self) -> None:
        """Address and volumes; tried again until they are there."""
        pause = 0.5
        while not (self.ending and not self._states):
            try:
                await self._find_handler()
                if refused := self.context.runtime.refuses(self._visible()):
                    raise FailedError(refused)
                kernel_name(self.pod)  # refuses names that no kernel takes
                self._address = await self.context.network.attach(self.pod)
                await self._volumes.setup(self._visible())
                if not self._states and (lacking := self.context.runtime.lacks(self._visible())):
                    self.context.recorder.warning(self._visible(), "NotEnforced", lacking)
                return
            except (LateenError, OSError) as error:
                reason = "FailedMount" if "MountVolume" in str(error) else "FailedCreatePodSandBox"
                self.context.recorder.warning(self._visible(), reason, str(error))
                await self._report()
                if self._states:
                    return  # it runs already: what is missing now does not stop it
            await self._pause(pause)
            pause = min(pause * 2, 120.0)

    async def _find_handler(self) -> None:
        """What the pod's RuntimeClass stands for."""
        name = (self.pod.get("spec") or {}).get("runtimeClassName")
        if name and not self._handler:
            try:
                self._handler = (await self.context.client.get(RUNTIMECLASSES, name))["handler"]
            except NotFoundError:
                self._handler = name

    def _adopt(self) -> None:
        status = self.pod.get("status") or {}
        reported = {s["name"]: s for k in _STATUSES for s in status.get(k) or ()}
        for container in self.containers:
            mine = [s for s in self._states if s.id.rpartition("_")[0] == f"{self.uid}_{container.name}"]
            container.adopt(mine, reported.get(container.name), final=self.finished)
        if not any(c.running for c in self.containers):
            self._traffic = _WAITING
            if self._policy() != "Never" and any(c.lost for c in self.containers):
                for container in self.containers:
                    if container.kind == INIT and container.attempts:
                        container.begin_anew()

    async def _live(self) -> None:
        while not self.ending and not self._phase:
            self._wake.clear()
            await self._refresh_volumes()
            await self.resizer.follow(self._visible(), self.containers)
            steps = self._late() or decide(self._policy(), [c.observed() for c in self.containers])
            self._do(steps)
            await self._report()
            self._admit()
            await self._pause(self._until(steps))

    def _policy(self) -> str:
        return str((self.pod.get("spec") or {}).get("restartPolicy") or "Always")

    def _until(self, steps: Steps) -> float | None:
        now = self.context.clock.monotonic()
        moments = [self._refresh_at(), self._deadline_at()]
        if self.resizer.held is not None and self.resizer.held.reason != "Infeasible":
            moments.append(now + _RESIZE_AGAIN)
        if now < self._first_report:
            moments.append(self._first_report)
        waits = [m - now for m in moments if m is not None] + ([steps.again] if steps.again is not None else [])
        return max(0.01, min(waits)) if waits else None

    def _deadline_at(self) -> float | None:
        """When activeDeadlineSeconds are over (monotonic)."""
        seconds = (self.pod.get("spec") or {}).get("activeDeadlineSeconds")
        if seconds is None:
            return None
        since = (self.context.clock.now() - parse_time(self._start_time)).total_seconds()
        return self.context.clock.monotonic() + float(seconds) - since

    def _late(self) -> Steps | None:
        at = self._deadline_at()
        if self._evicted:
            self._reason, self._message = "Evicted", self._evicted
        elif at is None or at > self.context.clock.monotonic():
            return None
        elif not self._reason:
            self._reason = "DeadlineExceeded"
            self._message = "Pod was active on the node longer than the specified deadline"
            self.context.recorder.normal(self._visible(), self._reason, self._message)
        if any(c.running or c.starting for c in self.containers):
            return Steps(stop=[c.name for c in self.containers if c.running])
        return Steps(phase="Failed")

    def _do(self, steps: Steps) -> None:
        by_name = {c.name: c for c in self.containers}
        for name in steps.start:
            by_name[name].start()
        for name in steps.stop:
            if not by_name[name].stopping:
                self._stop(by_name[name])
        for name, delay in steps.backing_off.items():
            self._back_off(by_name[name], delay)
        if self._phase == "" and steps.phase:
            self._phase = steps.phase
        self._explain_waiting()

    def _stop(self, container: Container) -> None:
        """One of those that end because the pod has ended: they share its grace."""
        if self._winding_down is None:
            self._winding_down = Deadline(self.context.clock, _grace(self.pod))
        stop = container.stop(self._winding_down, f"Stopping container {container.name}", self._turn(container))
        self._owner.start(stop, f"stop {container.name}")

    def _back_off(self, container: Container, delay: float) -> None:
        m = meta(self.pod)
        where = f"{m.get('name')}_{m.get('namespace')}({self.uid})"
        message = f"back-off {_duration(delay)} restarting failed container={container.name} pod={where}"
        if container.waiting is None or container.waiting[1] != message:
            container.waiting = ("CrashLoopBackOff", message)
            text = f"Back-off restarting failed container {container.name} in pod {where}"
            self.context.recorder.warning(self._visible(), "BackOff", text, field=f"spec.containers{{{container.name}}}")

    def _explain_waiting(self) -> None:
        """Containers that were never tried wait for something that has a name."""
        initialising = any(c.kind in (INIT, SIDECAR) for c in self.containers)
        for c in self.containers:
            if c.current is None and c.waiting is None:
                c.waiting = ("PodInitializing" if initialising else "ContainerCreating", "")

    def _refresh_at(self) -> float | None:
        """When (monotonic) the volumes want to be written anew; after a failure not at once."""
        due = self._volumes.refresh_at()
        return None if due is None else max(due, self._refresh_held)

    async def _refresh_volumes(self) -> None:
        now, due = self.context.clock.monotonic(), self._refresh_at()
        if not self._refresh and (due is None or due > now):
            return
        self._refresh = False
        try:
            await self._volumes.refresh(self._visible())
        except (LateenError, OSError) as error:
            self._refresh_held = now + _REFRESH_AGAIN
            self.context.recorder.warning(self._visible(), "FailedMount", f"volumes could not be refreshed: {error}")

    async def _pause(self, seconds: float | None) -> None:
        """Until woken, or ``seconds`` later."""
        timer = None if seconds is None else self._owner.start(self._alarm(seconds), "timer")
        try:
            await self._wake.wait()
            self._wake.clear()
        finally:
            if timer is not None:
                timer.cancel()

    async def _alarm(self, seconds: float) -> None:
        await self.context.clock.sleep(seconds)
        self._wake.set()

    # Traffic

    def _admit(self) -> None:
        """Ask the gate once the proxies can know of the endpoint: after ContainersReady was written."""
        ready = containers_ready(self.pod.get("status") or {})
        if not ready:
            if self._admission is not None:
                self._admission.cancel()
                self._admission = None
            if self._traffic is True and self._address is not None:
                self._traffic = _WAITING
        elif self._traffic is not True and self._admission is None:
            self._traffic = ("WaitingForProxies", "")
            self._admission = self._owner.start(self._through_gate(), "admission")

    async def _through_gate(self) -> None:
        await self.context.gate.admit(self._visible(), self._blocked)
        self._traffic, self._admission = True, None
        self._wake.set()

    def _blocked(self, reason: str, message: str) -> None:
        if self._traffic is not True and self._traffic != (reason, message):
            self._traffic = (reason, message)
            self._wake.set()

    # Status

    def _facts(self) -> PodFacts:
        gates = tuple(g["conditionType"] for g in (self.pod.get("spec") or {}).get("readinessGates") or ())
        return PodFacts(
            pod=self.pod,
            containers=[c.facts() for c in self.containers],
            address=self._address,
            start_time=self._start_time,
            traffic=self._traffic,
            sandbox=self._address is not None and not self._phase,
            phase=self._phase,
            reason=self._reason,
            message=self._message,
            gates=gates,
            evicted=self._evicted,
            resize=(held.type, held.reason, held.message) if (held := self.resizer.held) else None,
        )

    async def _report(self) -> None:
        """Write the status, if it says something new."""
        quick = self.context.clock.monotonic() < self._first_report
        if quick and any(c.starting for c in self.containers) and not any(c.attempts for c in self.containers):
            return
        if not containers_ready(status := pod_status(self._facts(), self.context.clock.now())) and self._traffic is True:
            self._traffic = _WAITING
            status = pod_status(self._facts(), self.context.clock.now())
        known = self.pod.get("status") or {}
        if all(known.get(k) == v for k, v in status.items()):
            return
        try:
            m = meta(self.pod)
            patch = patch_for(self.pod, status)
            self.pod = await self.context.client.patch(
                PODS, m["name"], patch, namespace=m.get("namespace", ""), subresource="status"
            )
        except NotFoundError:
            return  # the watch will tell
        except (ApiError, TransportError) as error:
            log.info("status of pod %s/%s was not written: %s", m.get("namespace"), m["name"], error)
            self._owner.start(self._alarm(1.0), "status again")

    # End

    async def _end(self) -> None:
        """Withdraw, stop, say so, delete, clean up. What was being started is waited for, so that nothing is left behind."""
        if self._admission is not None:
            self._admission.cancel()
        for container in self.containers:
            await container.stop_probes()
        while any(c.starting for c in self.containers):
            await self._pause(0.1)
        self._deadline = Deadline(self.context.clock, _grace(self.pod))
        if any(c.running for c in self.containers):
            if not self._gone:
                await self._withdraw(self._deadline)
            await self._stop_all(self._deadline)
        await self._say_ended()
        await self._clean()

    async def _withdraw(self, deadline: Deadline) -> None:
        reserve = min(_RESERVE, deadline.left() / 2)
        await deadline.bound(self.context.gate.withdraw(self._visible()), self._owner, "withdraw", reserve=reserve)

    async def _stop_all(self, deadline: Deadline) -> None:
        """All hooks at once; SIGTERM to the containers together, then to the sidecars in reverse order."""
        await gather(c.stop(deadline, f"Stopping container {c.name}", self._turn(c)) for c in self.containers)

    def _turn(self, container: Container) -> Callable[[], Awaitable[None]] | None:
        """What a sidecar waits for: the end of all containers, and of the sidecars that were started after it."""
        if container.kind != SIDECAR:
            return None
        at = self.containers.index(container)
        earlier = [c for i, c in enumerate(self.containers) if c.kind != SIDECAR or i > at]

        async def turn() -> None:
            for c in earlier:
                await c.ended()

        return turn

    async def _say_ended(self) -> None:
        """The final status, then the object: its name is free from here on."""
        failed = any((c.current.exit_code if c.current else 1) for c in self.containers if c.kind == MAIN)
        self._phase = self._phase or ("Failed" if failed else "Succeeded")
        for c in self.containers:
            if c.current is None and c.waiting is None:
                c.waiting = ("ContainerCreating", "")
        m, pause = meta(self.pod), 0.2
        while not self._gone:
            try:
                await self._report()
                await self.context.client.delete(PODS, m["name"], m.get("namespace", ""), grace_seconds=0, uid=self.uid)
                return
            except NotFoundError:
                return
            except (ApiError, TransportError) as error:
                log.info("pod %s/%s could not be deleted: %s", m.get("namespace"), m["name"], error)
            await self._pause(pause)
            pause = min(pause * 2, 10.0)

    async def _clean(self) -> None:
        for container in self.containers:
            await container.forget()
        for state in self._states:
            await self.context.runtime.remove(state.id)
        await self.context.runtime.drop_pod(self.uid)
        await self.context.network.detach(self.uid)
        await asyncio.to_thread(remove_folder, self.context, self.uid)


def remove_folder(context: NodeContext, uid: str) -> None:
    """Drop everything of a pod from the disk. Blocking."""
    for folder in (context.pod_folder(uid), context.memory_folder(uid)):
        shutil.rmtree(folder, ignore_errors=True)


def _containers(pod: Object) -> list[tuple[Mapping[str, Any], str]]:
    spec = pod.get("spec") or {}
    inits = [(c, kind_of(c, init=True)) for c in spec.get("initContainers") or ()]
    mains = [(c, kind_of(c, init=False)) for c in spec.get("containers") or ()]
    return inits + mains + [(c, EPHEMERAL) for c in spec.get("ephemeralContainers") or ()]


def _grace(pod: Object) -> float:
    """Seconds that the pod has, or would have, to end."""
    asked = meta(pod).get("deletionGracePeriodSeconds")
    if asked is None:
        asked = (pod.get("spec") or {}).get("terminationGracePeriodSeconds")
    return 30.0 if asked is None else float(asked)


def _version(pod: Object) -> int:
    text = meta(pod).get("resourceVersion") or "0"
    return int(text) if text.isdigit() else 0


def _duration(seconds: float) -> str:
    """As Go prints it: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
