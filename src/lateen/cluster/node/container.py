"""One container of one pod on this node: its attempts, start, probes, hooks and end. Used by ``worker``, which decides when.

Attempt n of container c of the pod u is ``u_c_n`` everywhere: in the shim, in containerID, in log paths. That is how a restarted
daemon finds it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lateen.aio.tasks import TaskOwner
from lateen.cluster.node import image_words, signals, termination
from lateen.cluster.node import probe as probing
from lateen.cluster.node.context import NodeContext
from lateen.cluster.node.decide import EPHEMERAL, MAIN, SIDECAR, Observed
from lateen.cluster.node.environment import ConfigError, Sources, environment, expand, references
from lateen.cluster.node.identity import HOSTS, RESOLV, kernel_name, managed_hosts, managed_resolv
from lateen.cluster.node.networks.loopback import anywhere, holder
from lateen.cluster.node.prober import Prober, Reports
from lateen.cluster.node.pulling import pull_secrets
from lateen.cluster.node.seam import ContainerSpec, ContainerState, ImageError, LocalImage, Mount, PodAddress, Puller
from lateen.cluster.node.status import ContainerFacts
from lateen.cluster.node.timing import Deadline
from lateen.cluster.node.volumes import Volumes
from lateen.errors import FailedError, LateenError, NotFoundError
from lateen.kube.meta import Object, meta, parse_time, uid_of
from lateen.kube.resolv import Resolv, parse_resolv
from lateen.kube.resources import CONFIGMAPS, SECRETS, SERVICES, Resource

log = logging.getLogger(__name__)
_NOT_ITS_FAULT = ("NodeStopped", "ContainerStatusUnknown")  # ends that say nothing about the application
_RETRY, _IMAGE_FIRST, _IMAGE_MOST = 5.0, 10.0, 300.0
_KEPT = 2  # attempts whose logs are kept: the current one and the one before
_LEAST_GRACE = 2.0  # seconds between SIGTERM and SIGKILL when hooks or other containers have used the time up


class Container:
    """``pod`` gives the newest pod with its address in the status; ``changed`` wakes the worker."""

    def __init__(
        self,
        context: NodeContext,
        spec: Mapping[str, Any],
        kind: str,
        *,
        pod: Callable[[], Object],
        volumes: Volumes,
        network: Callable[[], PodAddress | None],
        changed: Callable[[], None],
        owner: TaskOwner,
    ) -> None:
        self._context, self.spec, self.kind, self._pod = context, spec, kind, pod
        self._volumes, self._network, self._changed, self._owner = volumes, network, changed, owner
        self.name: str = spec["name"]
        self.attempts: list[ContainerState] = []
        self.number = -1
        self.failures = 0
        self.waiting: tuple[str, str] | None = None
        self.started = self.ready = self.starting = self.stopping = False
        self.image_id, self._image_signal = "", None
        self._held_until, self._image_failures = 0.0, 0
        self._ended = asyncio.Event()
        self._probes: TaskOwner | None = None

    _image_signal: str | None
    _changed_spec = _anew = False

    # What is known

    @property
    def current(self) -> ContainerState | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def running(self) -> bool:
        return self.current is not None and self.current.exit_code is None

    def observed(self) -> Observed:
        """For ``decide``."""
        now, current = self._context.clock, self.current
        age = 0.0
        if current is not None and current.exit_code is not None:
            age = max(0.0, (now.now() - parse_time(current.finished_at)).total_seconds())
        return Observed(
            name=self.name,
            kind=self.kind,
            attempted=current is not None,
            running=self.running or self.starting,
            started=self.started and self.running,
            exit_code=(current.exit_code or 0) if current is not None else 0,
            age=age,
            failures=self.failures,
            held=max(0.0, self._held_until - now.monotonic()),
            restart=self.spec.get("restartPolicy") or "",
            rules=self.spec.get("restartPolicyRules") or (),
            changed=self._changed_spec,
            anew=self._anew and not self.starting,
        )

    def facts(self) -> ContainerFacts:
        """For the status."""
        waiting = None if self.running else self.waiting
        return ContainerFacts(
            name=self.name,
            image=self.spec.get("image", ""),
            kind=self.kind,
            attempts=tuple(self.attempts),
            restarts=max(0, self.number),
            waiting=waiting,
            started=self.started,
            ready=self.ready and self.running,
            image_id=self.image_id,
            resources=self.spec.get("resources") or {},
            stop_signal=(self.spec.get("lifecycle") or {}).get("stopSignal") or "",
        )

    def declare(self, spec: Mapping[str, Any]) -> None:
        """The pod declares the container so from now on. Another image means another attempt."""
        old, self.spec = self.spec, spec
        if old.get("image") != spec.get("image") and self.kind != EPHEMERAL and (self.running or self.kind == MAIN):
            self._held_until, self._image_failures = 0.0, 0
            self._renew(f"Container {self.name} definition changed, will be restarted")

    async def resize(self, resources: Mapping[str, Any], *, restart: bool) -> None:
        """Give it other resources, now or by a restart. FailedError, OSError of the runtime."""
        spec = {**self.spec, "resources": resources}
        current = self.current
        if restart:
            self._renew(f"Container {self.name} resize requires restart")
        elif current is not None and current.exit_code is None:
            await self._context.runtime.resize(current.id, spec)
        self.spec = spec

    def _renew(self, message: str) -> None:
        """End the attempt, so that another one follows whatever the restart policy says."""
        if self.running and not self.stopping:
            self._changed_spec, self.failures = True, 0
            self._kill(message, None)

    def release(self) -> None:
        """Try at once what waits for a missing ConfigMap or Secret: something changed."""
        if self.waiting is not None and self.waiting[0] == "CreateContainerConfigError":
            self._held_until = 0.0

    # Adoption

    @property
    def lost(self) -> bool:
        """Whether its last attempt ended with the node and not by itself."""
        return self.current is not None and self.current.exit_code is not None and self.current.reason in _NOT_ITS_FAULT

    def begin_anew(self) -> None:
        """Do again what was done: the pod's sandbox is another one."""
        self._anew = True

    def adopt(self, states: Sequence[ContainerState], reported: Mapping[str, Any] | None, *, final: bool = False) -> None:
        """Take over what the runtime has. ``reported`` is the container's entry in the pod's last written status; ``final``: there
        is nothing to come, so that what the runtime has forgotten is taken from there."""
        self.attempts = sorted(states, key=lambda s: attempt_number(s.id))[-_KEPT:]
        reported = reported or {}
        if (final or self.kind == EPHEMERAL) and not self.attempts:
            self.attempts = lost_attempts(reported)
        self.image_id = reported.get("imageID") or ""
        self.number = max([attempt_number(s.id) for s in self.attempts] + [int(reported.get("restartCount") or 0) - 1])
        self.failures = max(0, self.number)
        if self.attempts and self.attempts[-1].reason in _NOT_ITS_FAULT:
            self.failures = 0
        if not self.running:
            self.attempts = [self._remembered(a, reported) for a in self.attempts]
            return
        same = str(reported.get("containerID") or "").endswith(self.attempts[-1].id)
        self._follow(started=same and bool(reported.get("started")), ready=same and bool(reported.get("ready")))

    def _remembered(self, attempt: ContainerState, reported: Mapping[str, Any]) -> ContainerState:
        """An attempt that ended, with what was said of it."""
        for state in (reported.get("state") or {}, reported.get("lastState") or {}):
            found = state.get("terminated") or {}
            if str(found.get("containerID") or "").endswith(attempt.id):
                return replace(attempt, message=found.get("message") or attempt.message)
        return replace(attempt, message=attempt.message or self._last_message(attempt))

    # Start

    def start(self) -> None:
        """Begin the next attempt in a task."""
        self.starting = True
        self._owner.start(self._start(), f"start {self.name}")

    async def _start(self) -> None:
        try:
            await self._try_start()
        except ImageError as error:
            self._image_failed(error)
        except ConfigError as error:
            self._hold("CreateContainerConfigError", str(error), _RETRY)
            self._event("Failed", f"Error: {error}")
        except FailedError as error:
            self._hold("CreateContainerError", str(error), _RETRY)
            self._event("Failed", f"Error: {error}")
        except OSError as error:
            text = f"{error.strerror}: {error.filename}" if error.strerror and error.filename else str(error)
            self._hold("CreateContainerError", text, _RETRY)
            self._event("Failed", f"Error: {text}")
        except LateenError as error:
            self._hold("CreateContainerError", str(error), 1.0)
        finally:
            self.starting = False
            self._changed()

    async def _try_start(self) -> None:
        image = await self._image()
        self._image_failures, self.image_id, self._image_signal = 0, image.digest, image.stop_signal
        number = self.number + 1
        spec = await self._prepare(image, number)
        state = await self._context.runtime.start(spec)
        if self.current is not None:
            self.failures += 1
        self.number, self.waiting, self._held_until, self._changed_spec = number, None, 0.0, False
        self._anew = False
        self.attempts = [*self.attempts, state][-_KEPT:]
        self._event("Created", f"Created container: {self.name}", normal=True)
        if state.exit_code is None:
            self._event("Started", f"Started container {self.name}", normal=True)
            self._follow(started=False, ready=False)
        else:
            self._event("Failed", f"Error: failed to start container {self.name}: {state.message}")
        await self._prune(number)

    async def _image(self) -> LocalImage:
        """Found here or pulled, with the events that say so."""
        ref = self.spec.get("image", "")
        puller = Puller(begins=lambda: self._event("Pulling", f'Pulling image "{ref}"', normal=True), secrets=self._pull_secrets)
        image = await self._context.images.ensure(ref, self._pull_policy(), puller)
        if image.pulled is not None:
            self._event("Pulled", image_words.pulled(ref, image.pulled), normal=True)
        elif self._image_failures or self.number < 0:
            self._event("Pulled", f'Container image "{ref}" already present on machine', normal=True)
        return image

    async def _pull_secrets(self) -> list[Object]:
        return await pull_secrets(self._context, self._pod(), self._event)

    def _pull_policy(self) -> str:
        return str(self.spec.get("imagePullPolicy") or "IfNotPresent")

    async def _prepare(self, image: LocalImage, number: int) -> ContainerSpec:
        pod, uid = self._pod(), uid_of(self._pod())
        env = environment(pod, self.spec, await self._sources(pod, image), self._context.allocatable)
        mounts = await asyncio.to_thread(self._mounts, pod, number, env)
        path = self._context.log_path(uid, self.name, number)
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        user, group = _identity(pod, self.spec)
        # What was there for the first attempt may be gone since, with the whole network.
        address = await self._context.network.attach(pod) if number and self._network() else self._network()
        return ContainerSpec(
            id=f"{uid}_{self.name}_{number}",
            pod_uid=uid,
            name=self.name,
            attempt=number,
            image=self.spec.get("image", ""),
            rootfs=image.rootfs,
            scratch=self._context.pod_folder(uid) / "changes" / self.name / str(number),
            argv=_command(self.spec, image, env),
            env=env,
            cwd=self.spec.get("workingDir") or image.workdir,
            log=path,
            mounts=mounts,
            hostname=kernel_name(pod),
            uid=user,
            gid=group,
            groups=_groups(pod),
            resources=self.spec.get("resources") or {},
            stdin=bool(self.spec.get("stdin")),
            terminal=bool(self.spec.get("tty")),
            netns=address.netns if address else None,
            pod=pod,
            container=self.spec,
            layers=image.layers,
            image_user=image.user,
        )

    def _mounts(self, pod: Object, number: int, env: Mapping[str, str]) -> list[Mount]:
        """Volumes, the file for a last message, and the pod's /etc/hosts and /etc/resolv.conf. Blocking."""
        mounts = list(self._volumes.mounts(self.spec, lambda text: expand(text, env)))
        taken = {m.target.rstrip("/") for m in mounts}
        target = self.spec.get("terminationMessagePath") or termination.DEFAULT_PATH
        if target not in taken:
            mounts.append(Mount(source=termination.prepare(self._last_words(number)), target=target))
        hosts = managed_hosts(pod, self.spec, _read(Path(HOSTS)))
        if hosts is not None:
            mounts.append(self._managed_file(pod, "etc-hosts", hosts, HOSTS))
        resolv = managed_resolv(pod, self.spec, self._node_resolv(), cluster_dns=self._context.cluster_dns)
        if resolv is not None:
            text, warnings = resolv
            mounts.append(self._managed_file(pod, "etc-resolv.conf", text, RESOLV))
            for warning in warnings:
                self._event("DNSConfigForming", warning)
        return mounts

    def _managed_file(self, pod: Object, name: str, text: str, target: str) -> Mount:
        """A file that all containers of the pod share."""
        path = self._context.pod_folder(uid_of(pod)) / name
        path.write_text(text)
        only_read = bool((self.spec.get("securityContext") or {}).get("readOnlyRootFilesystem"))
        return Mount(source=path, target=target, read_only=only_read)

    def _node_resolv(self) -> Resolv:
        """The machine's file; where its resolvers cannot be reached from pods, the cluster's server stands for them."""
        found = parse_resolv(_read(Path(RESOLV)))
        dns = self._context.cluster_dns
        return replace(found, nameservers=(dns,)) if dns and self._context.own_network else found

    def _last_words(self, number: int) -> Path:
        """What the container sees at its terminationMessagePath."""
        return self._context.pod_folder(uid_of(self._pod())) / "termination" / self.name / str(number)

    async def _sources(self, pod: Object, image: LocalImage) -> Sources:
        client, namespace, address = self._context.client, meta(pod).get("namespace", ""), self._network()
        configmaps, secrets = references(self.spec)
        services = list((await client.list(SERVICES, namespace)).items)
        if namespace != "default" and (master := await self._get(SERVICES, "kubernetes", "default")):
            services.insert(0, master)
        return Sources(
            configmaps={n: await self._get(CONFIGMAPS, n, namespace) for n in configmaps},
            secrets={n: await self._get(SECRETS, n, namespace) for n in secrets},
            services=[{"kind": "Service", **s} for s in services],
            network={"HOSTNAME": kernel_name(pod), **(address.env if address else {})},
            image=image.env,
            unprivileged_start=self._context.unprivileged_start,
        )

    async def _get(self, resource: Resource, name: str, namespace: str) -> Object | None:
        try:
            return {"kind": resource.kind, **await self._context.client.get(resource, name, namespace)}
        except NotFoundError:
            return None

    def _image_failed(self, error: ImageError) -> None:
        delay = min(_IMAGE_MOST, _IMAGE_FIRST * 2**self._image_failures)
        ref = self.spec.get("image", "")
        if error.reason == "ErrImagePull":
            self._event("Failed", f'Failed to pull image "{ref}": {error}')
            self._hold("ErrImagePull", str(error), delay)
            self._owner.start(self._pull_backs_off(ref, str(error)), f"image {self.name}")
        else:
            self._event("InspectFailed" if error.reason == "InvalidImageName" else error.reason, str(error))
            self._hold(error.reason, str(error), delay)
        self._event("Failed", f"Error: {error.reason}")
        self._image_failures += 1

    async def _pull_backs_off(self, ref: str, message: str) -> None:
        """After a moment of ErrImagePull the reason becomes ImagePullBackOff, as the kubelet's second look makes it."""
        await self._context.clock.sleep(1.0)
        if self.waiting is not None and self.waiting[0] == "ErrImagePull":
            self.waiting = ("ImagePullBackOff", f'Back-off pulling image "{ref}": ErrImagePull: {message}')
            self._event("BackOff", f'Back-off pulling image "{ref}"', normal=True)
            self._event("Failed", "Error: ImagePullBackOff")
            self._changed()

    def _hold(self, reason: str, message: str, seconds: float) -> None:
        self.waiting = (reason, message)
        self._held_until = self._context.clock.monotonic() + seconds

    async def _prune(self, number: int) -> None:
        """Forget attempts before the last one, and their logs."""
        uid = uid_of(self._pod())
        for old in range(max(0, number - 2), number - _KEPT + 1):
            await self._context.runtime.remove(f"{uid}_{self.name}_{old}")
            path = self._context.log_path(uid, self.name, old)
            path.unlink(missing_ok=True)
            path.with_name(path.name + ".times").unlink(missing_ok=True)
            self._last_words(old).unlink(missing_ok=True)

    # Life

    def _follow(self, *, started: bool, ready: bool) -> None:
        """Watch the running attempt: its end, its hooks and probes."""
        self._ended = asyncio.Event()
        self.started, self.ready = started, ready
        self._probes = TaskOwner(f"probes of {self.attempts[-1].id}")
        self._owner.start(self._wait(self.attempts[-1]), f"wait {self.name}")
        self._probes.start(self._attend(started, ready), "attend")

    async def _attend(self, started: bool, ready: bool) -> None:
        assert self._probes is not None
        hook = (self.spec.get("lifecycle") or {}).get("postStart")
        if hook and not started:
            result = await self._hook(hook, 3600.0)
            if not result.ok:
                self._event("FailedPostStartHook", f"PostStartHook failed: {result.message}")
                self._kill(f"FailedPostStartHook: container {self.name} is restarted", None)
                return
        reports = Reports(started=self._on_started, ready=self._on_ready, unhealthy=self._on_unhealthy, kill=self._on_dead)
        prober = Prober(self.spec, check=self._check, clock=self._context.clock, reports=reports, owner=self._probes)
        prober.start(started=started, ready=ready)

    async def _wait(self, attempt: ContainerState) -> None:
        final = await self._final(attempt)
        await self.stop_probes()
        final = await self._explained(final)
        self.attempts = [final if a.id == final.id else a for a in self.attempts]
        self.started = self.ready = self.stopping = False
        current = self.current
        if current is not None and _ran_for(final) >= 600:
            self.failures = 0
        self._ended.set()
        self._changed()

    async def _final(self, attempt: ContainerState) -> ContainerState:
        while True:
            try:
                return await self._context.runtime.wait(attempt.id)
            except KeyError:  # the runtime has forgotten what it ran
                now = self._context.clock.now().isoformat().replace("+00:00", "Z")
                message = "The container could not be located when the pod was looked at"
                return replace(attempt, exit_code=137, finished_at=now, reason="ContainerStatusUnknown", message=message)
            except LateenError as error:
                log.warning("container %s cannot be watched: %s", attempt.id, error)
                await self._context.clock.sleep(1.0)

    async def stop_probes(self) -> None:
        """No more checks of this attempt."""
        if self._probes is not None:
            probes, self._probes = self._probes, None
            await probes.close()

    async def _explained(self, final: ContainerState) -> ContainerState:
        """With a message that helps a person: who holds the port, or the last lines of the log."""
        if final.message:
            return final
        said = await asyncio.to_thread(self._last_message, final)
        if said or not final.exit_code or self.stopping:
            return replace(final, message=said)
        tail = await asyncio.to_thread(termination.tail, self._log(final))
        shared = self._context.network.name == "loopback"
        if shared and "in use" in tail.lower() and (said := await asyncio.to_thread(self._conflict)):
            self._event("AddressInUse", said)
            return replace(final, message=said)
        return final

    def _last_message(self, attempt: ContainerState) -> str:
        """What the container said at its end. Blocking, for a moment."""
        file = self._last_words(attempt_number(attempt.id))
        return termination.message(self.spec, file, self._log(attempt), attempt.exit_code or 0)

    def _log(self, attempt: ContainerState) -> Path:
        return self._context.log_path(uid_of(self._pod()), self.name, attempt_number(attempt.id))

    def _conflict(self) -> str:
        """Who listens where this container wanted to. Blocking."""
        ip = (self._pod().get("status") or {}).get("podIP") or "127.0.0.1"
        for port in self.spec.get("ports") or ():
            number = int(port.get("containerPort") or 0)
            alone = holder(ip, number)
            found = alone or anywhere(number)
            if found is None:
                continue
            who = f"process {found.pid} ({found.name})" if found.pid else "a process of another user"
            uid, _, rest = found.mark.partition("_")
            if rest:  # a container's id; proxies have none
                who += f", container {rest.rpartition('_')[0]} of the pod with uid {uid}"
            hint = ": make it listen on the address in $HOST" if found.everywhere or alone is None else ""
            where = "" if alone else " on all addresses"
            return f"port {number} cannot be bound{where}: {who} listens on {found.address}{hint}"
        return ""

    def _on_started(self) -> None:
        self.started = True
        self._changed()

    def _on_ready(self, ready: bool) -> None:
        if self.ready != ready:
            self.ready = ready
            self._changed()

    def _on_unhealthy(self, kind: str, message: str) -> None:
        self._event("Unhealthy", f"{kind} probe failed: {message}")

    def _on_dead(self, kind: str, probe: Mapping[str, Any]) -> None:
        self._kill(f"Container {self.name} failed {kind} probe, will be restarted", probe.get("terminationGracePeriodSeconds"))

    async def _check(self, probe: Mapping[str, Any], seconds: float, agent: str = "kube-probe/1.37") -> probing.Result:
        ip = (self._pod().get("status") or {}).get("podIP") or "127.0.0.1"
        access = probing.Access(ip=ip, reach=self._context.network.reach, run=self._exec, agent=agent)
        return await probing.check(probe, self.spec, access, seconds)

    async def _exec(self, argv: Sequence[str], *, seconds: float) -> tuple[int, bytes]:
        current = self.current
        if current is None or current.exit_code is not None:
            raise FailedError("container not running")
        return await self._context.runtime.exec(current.id, argv, seconds=seconds)

    async def _hook(self, hook: Mapping[str, Any], seconds: float) -> probing.Result:
        if "sleep" in hook:
            await self._context.clock.sleep(float(hook["sleep"]["seconds"]))
            return probing.Result(True)
        if "tcpSocket" in hook:
            return probing.Result(False, "tcpSocket is no lifecycle handler: use exec, httpGet or sleep")
        return await self._check(hook, seconds, "kube-lifecycle/1.37")

    # End

    def _kill(self, message: str, grace: int | None) -> None:
        """End the attempt so that it is restarted."""
        if self.stopping:
            return
        seconds = grace if grace is not None else (self._pod().get("spec") or {}).get("terminationGracePeriodSeconds", 30)
        self._owner.start(self.stop(Deadline(self._context.clock, float(seconds)), message), f"kill {self.name}")

    async def ended(self) -> None:
        """Once it runs no more."""
        if self.running:
            await self._ended.wait()

    async def stop(self, deadline: Deadline, message: str, turn: Callable[[], Awaitable[None]] | None = None) -> None:
        """preStop, its ``turn``, SIGTERM, and SIGKILL at the deadline (two seconds after SIGTERM at the earliest, when hook or turn
        took the time). Returns when it ended."""
        current = self.current
        if current is None or current.exit_code is not None:
            return
        if self.stopping:  # a second reason to end: the earlier one is on its way
            await self._force(current, deadline)
            return
        self.stopping = True
        self._event("Killing", message, normal=True)
        hook = (self.spec.get("lifecycle") or {}).get("preStop")
        waits = bool(hook or turn) and deadline.left() > 0
        if hook and waits:
            await deadline.bound(self._pre_stop(hook, deadline), self._owner, f"preStop {self.name}")
        if turn is not None and deadline.left() > 0:
            await deadline.bound(_awaited(turn), self._owner, f"turn of {self.name}")
        if waits and deadline.left() < _LEAST_GRACE:
            deadline = Deadline(self._context.clock, _LEAST_GRACE)
        if deadline.left() > 0:
            await self._context.runtime.signal(current.id, await self._stop_signal())
        await self._force(current, deadline)

    async def _force(self, current: ContainerState, deadline: Deadline) -> None:
        """Wait for the end until the deadline, then make it so."""
        if not await deadline.bound(self._ended.wait(), self._owner, f"end of {self.name}"):
            await self._context.runtime.signal(current.id, signal.SIGKILL)
            await self._ended.wait()

    async def _stop_signal(self) -> int:
        """What the pod says, then what the image says, then SIGTERM."""
        wanted = (self.spec.get("lifecycle") or {}).get("stopSignal")
        if not wanted and self._image_signal is None:  # adopted: the image was not looked at yet
            try:
                self._image_signal = (await self._context.images.ensure(self.spec.get("image", ""), "Never")).stop_signal
            except ImageError:
                self._image_signal = ""
        return signals.number(wanted or self._image_signal or "SIGTERM")

    async def _pre_stop(self, hook: Mapping[str, Any], deadline: Deadline) -> None:
        result = await self._hook(hook, max(1.0, deadline.left()))
        if not result.ok:
            self._event("FailedPreStopHook", f"PreStopHook failed: {result.message}")

    async def forget(self) -> None:
        """Drop every ended attempt from the runtime."""
        for attempt in self.attempts:
            await self._context.runtime.remove(attempt.id)

    def _event(self, reason: str, message: str, *, normal: bool = False) -> None:
        places = {"init": "spec.initContainers", SIDECAR: "spec.initContainers", EPHEMERAL: "spec.ephemeralContainers"}
        place = places.get(self.kind, "spec.containers")
        record = self._context.recorder.normal if normal else self._context.recorder.warning
        record(self._pod(), reason, message, field=f"{place}{{{self.name}}}")


def lost_attempts(reported: Mapping[str, Any]) -> list[ContainerState]:
    """The attempt of an ephemeral container that was reported once and that the runtime does not know (the machine was started
    again): it ran its only time."""
    state, identity = reported.get("state") or {}, str(reported.get("containerID") or "")
    found = state.get("terminated") or state.get("running")
    if not found or not identity:
        return []
    return [
        ContainerState(
            id=identity.rpartition("/")[2],
            pid=0,
            started_at=found["startedAt"],
            finished_at=found.get("finishedAt") or found["startedAt"],
            exit_code=int(found.get("exitCode", 137)),
            reason=found.get("reason") or "ContainerStatusUnknown",
        )
    ]


def attempt_number(container_id: str) -> int:
    """The n of ``<pod uid>_<container>_<n>``."""
    return int(container_id.rpartition("_")[2])


def _command(container: Mapping[str, Any], image: LocalImage, env: Mapping[str, str]) -> list[str]:
    command, args = container.get("command"), container.get("args")
    argv = [*command, *(args or ())] if command else [*image.entrypoint, *(args or image.cmd)]
    if not argv:
        raise ConfigError("no command specified: the image has none, and the container sets neither command nor args")
    return [expand(a, env) for a in argv] if command or args else argv


def _identity(pod: Object, container: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The uid and gid that the pod asks for: only root can give them."""
    if os.geteuid() != 0:
        return None, None
    both = {**((pod.get("spec") or {}).get("securityContext") or {}), **(container.get("securityContext") or {})}
    return both.get("runAsUser"), both.get("runAsGroup")


def _groups(pod: Object) -> list[int]:
    context = (pod.get("spec") or {}).get("securityContext") or {}
    return [*(context.get("supplementalGroups") or ()), *([context["fsGroup"]] if context.get("fsGroup") is not None else [])]


def _ran_for(state: ContainerState) -> float:
    start: datetime = parse_time(state.started_at)
    return (parse_time(state.finished_at) - start).total_seconds()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


async def _awaited(turn: Callable[[], Awaitable[None]]) -> None:
    await turn()
