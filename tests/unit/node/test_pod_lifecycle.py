"""Sidecars, hooks, signals, last messages and restart rules of pods, on a virtual clock."""

from __future__ import annotations

from pod_world import World, container, ready

from lateen.cluster.node.seam import ContainerSpec
from lateen.kube.meta import Object
from lateen.kube.resources import PODS


def side(name: str, **more: object) -> Object:
    return {"name": name, "image": "x", "command": ["x"], "restartPolicy": "Always", **more}


def hook(word: str) -> Object:
    return {"lifecycle": {"preStop": {"exec": {"command": [word]}}}}


def spec_of(world: World, name: str = "app") -> ContainerSpec:
    return next(s for s in reversed(world.runtime.specs.values()) if s.name == name)


async def test_sidecars_end_last_in_reverse_order_and_their_hooks_run_at_once(world: World) -> None:
    await world.pod(initContainers=[side("a", **hook("bye-a")), side("b")], container=hook("bye-app"))
    await world.until(ready)
    world.story.clear()
    world.runtime.deaf.add("b")
    await world.client.delete(PODS, "p", "default", grace_seconds=10)
    await world.until_gone()
    assert sorted(world.story[1:3]) == ["exec bye-a", "exec bye-app"]
    assert world.story[3:5] == ["TERM app", "TERM b"]
    assert sorted(world.story[5:]) == ["KILL b", "TERM a"]  # both when the time is over


async def test_sidecars_of_a_finished_pod_share_one_grace_period(world: World) -> None:
    await world.pod(initContainers=[side("a"), side("b")], restartPolicy="Never", terminationGracePeriodSeconds=8)
    await world.until(ready)
    world.runtime.deaf |= {"a", "b"}
    start = world.clock.monotonic()
    world.runtime.finish("app", 0)
    await world.until(lambda p: p["status"]["phase"] == "Succeeded")
    assert (world.story[-4], world.story[-1]) == ("TERM b", "KILL a")
    assert 10 <= world.clock.monotonic() - start < 12  # 8 s for b, and the least that a must get


async def test_a_rule_restarts_a_container_that_its_policy_would_leave(world: World) -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    await world.pod(container={"restartPolicy": "Never", "restartPolicyRules": rules}, restartPolicy="Never")
    await world.until(ready)
    world.runtime.finish("app", 42)
    await world.until(lambda p: container(p)["restartCount"] == 1 and ready(p))
    world.runtime.finish("app", 1)
    await world.until(lambda p: p["status"]["phase"] == "Failed")


async def test_the_stop_signal_of_the_pod(world: World) -> None:
    await world.pod(container={"lifecycle": {"stopSignal": "SIGQUIT"}}, os={"name": "linux"})
    pod = await world.until(ready)
    assert container(pod)["stopSignal"] == "SIGQUIT"
    await world.client.delete(PODS, "p", "default")
    await world.until_gone()
    assert world.story[-1] == "QUIT app"


async def test_a_tcp_hook_is_none(world: World) -> None:
    await world.pod(container={"lifecycle": {"postStart": {"tcpSocket": {"port": 80}}}})
    await world.until(lambda p: container(p).get("restartCount") == 1)
    assert "tcpSocket is no lifecycle handler" in (await world.events("FailedPostStartHook"))[0]


async def test_a_last_message_from_the_file(world: World) -> None:
    await world.pod(restartPolicy="Never")
    await world.until(ready)
    mount = next(m for m in spec_of(world).mounts if m.target == "/dev/termination-log")
    mount.source.write_text("out of luck" + "." * 5000)
    world.runtime.finish("app", 0)
    pod = await world.until(lambda p: p["status"]["phase"] == "Succeeded")
    message = container(pod)["state"]["terminated"]["message"]
    assert message.startswith("out of luck.") and len(message) == 4096


async def test_messages_of_many_containers_share_12_kib(world: World) -> None:
    more = [{"name": f"c{i}", "image": "x", "command": ["x"]} for i in range(6)]
    main = {"name": "app", "image": "x", "command": ["x"]}
    await world.pod(containers=[main, *more], restartPolicy="Never")
    await world.until(ready)
    next(m for m in spec_of(world).mounts if m.target == "/dev/termination-log").source.write_text("x" * 4096)
    world.runtime.finish("app", 1)
    pod = await world.until(lambda p: container(p)["state"].get("terminated"))
    assert len(container(pod)["state"]["terminated"]["message"]) == 12 * 1024 // 7


async def test_the_log_is_the_fallback_of_a_failure_only(world: World) -> None:
    await world.pod(restartPolicy="OnFailure", container={"terminationMessagePolicy": "FallbackToLogsOnError"})
    await world.until(ready)
    spec_of(world).log.write_text("".join(f"line {i}\n" for i in range(100)))
    world.runtime.finish("app", 1)
    pod = await world.until(lambda p: container(p)["restartCount"] == 1 and ready(p))
    message = container(pod)["lastState"]["terminated"]["message"]
    assert message.startswith("line 20\n") and message.endswith("line 99\n")


async def test_hosts_and_host_name(world: World) -> None:
    aliases = [{"ip": "10.1.2.3", "hostnames": ["db.local"]}]
    await world.pod(hostname="me", subdomain="sub", setHostnameAsFQDN=True, hostAliases=aliases)
    pod = await world.until(ready)
    spec = spec_of(world)
    assert spec.hostname == spec.env["HOSTNAME"] == "me.sub.default.svc.cluster.local"
    text = next(m for m in spec.mounts if m.target == "/etc/hosts").source.read_text()
    assert f"{pod['status']['podIP']}\tme.sub.default.svc.cluster.local\tme\n" in text
    assert "10.1.2.3\tdb.local\n" in text
