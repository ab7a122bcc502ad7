"""Images: what exactly runs, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lateen.check.finding import Hit, Severity
from lateen.check.practice import on, usual
from lateen.check.registry import check
from lateen.check.workload import Container
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
_MOVING = (
    "latest",
    "main",
    "master",
    "dev",
    "develop",
    "stable",
    "edge",
    "nightly",
    "snapshot",
    "current",
    "head",
    "prod",
    "production",
)


@dataclass(frozen=True, slots=True)
class Image:
    """The parts of a reference."""

    registry: str
    repository: str
    tag: str
    digest: str


def parse(text: str) -> Image:
    """The parts, as container runtimes read them."""
    name, _, digest = text.partition("@")
    head, _, last = name.rpartition("/")
    base, _, tag = last.partition(":")
    path = f"{head}/{base}" if head else base
    first = path.partition("/")[0]
    if "/" in path and ("." in first or ":" in first or first == "localhost"):
        return Image(first, path.partition("/")[2], tag, digest)
    return Image("docker.io", path, tag, digest)


def _written(world: World) -> Iterator[tuple[Container, Image]]:
    """Containers with a whole image reference (no variables of a template language), not built by lateen at apply time."""
    for c in world.containers:
        if (
            c.image
            and not re.search(r"[${}<>]", c.image)
            and c.workload.manifest.labels.get("app.kubernetes.io/managed-by") != "lateen"
        ):
            yield c, parse(c.image)


@check(
    "LT-IMG-085",
    "latest or no tag",
    WARNING,
    why="Which version runs depends on when a node pulled it: pods of one workload differ, and there is no way back.",
    fix="name a version, better a digest",
)
def latest(world: World) -> Iterator[Hit]:
    for c, image in _written(world):
        if not image.digest and (not image.tag or image.tag.lower() in _MOVING):
            say = f"runs {c.image}: a tag that moves" if image.tag else f"runs {c.image}: no tag"
            yield on(c, "image", say=say)


@check(
    "LT-IMG-086",
    "no digest",
    INFO,
    why="A tag can be moved to another image, by mistake or by an attacker.",
    fix="pin the image: NAME:TAG@sha256:...",
)
def digest(world: World) -> Iterator[Hit]:
    common = usual([i for _, i in _written(world)], lambda i: bool(i.digest), share=0.6)
    for c, image in _written(world):
        if not image.digest:
            yield on(c, "image", say=f"runs {c.image}, which is not pinned by digest", severity=WARNING if common else INFO)


@check(
    "LT-IMG-087",
    "pull policy does not fit the tag",
    WARNING,
    why="With a tag that moves and IfNotPresent or Never, nodes keep what they once pulled: they run different code.",
    fix="use a fixed tag or a digest; then IfNotPresent is right",
)
def pull_policy(world: World) -> Iterator[Hit]:
    for c, image in _written(world):
        policy = c.data.get("imagePullPolicy")
        moving = not image.digest and (not image.tag or image.tag.lower() in _MOVING)
        if moving and policy in ("IfNotPresent", "Never"):
            yield on(c, "imagePullPolicy", say=f"keeps {c.image} once pulled ({policy}), though its tag moves")
        elif policy == "Never":
            yield on(c, "imagePullPolicy", say="never pulls its image: it must be on every node beforehand")


@check(
    "LT-IMG-088",
    "registry is not allowed",
    ERROR,
    why="Images from elsewhere were built and scanned by nobody you know.",
    fix="mirror the image into a registry of the list (settings.registries)",
)
def registry(world: World) -> Iterator[Hit]:
    allowed = world.settings.registries
    for c, image in _written(world) if allowed else ():
        full = f"{image.registry}/{image.repository}"
        if not any(full.startswith(a.rstrip("/") + "/") or image.registry == a for a in allowed):
            yield on(c, "image", say=f"comes from {image.registry}, which is not allowed")


_RETIRED = {
    "k8s.gcr.io": "registry.k8s.io",
    "gcr.io/google_containers": "registry.k8s.io",
    "gcr.io/google-containers": "registry.k8s.io",
    "quay.io/kubernetes-ingress-controller": "registry.k8s.io/ingress-nginx",
    "docker.pkg.github.com": "ghcr.io",
    "registry.hub.docker.com": "docker.io",
    "openpolicyagent/gatekeeper-old": "openpolicyagent/gatekeeper",
}


@check(
    "LT-IMG-089",
    "retired registry",
    WARNING,
    why="A registry that is frozen or gone gives old images, and one day none.",
    fix="use the successor",
)
def retired_registry(world: World) -> Iterator[Hit]:
    for c, image in _written(world):
        full = f"{image.registry}/{image.repository}"
        found = next((old for old in _RETIRED if full.startswith(old + "/") or image.repository.startswith(old + "/")), "")
        if found:
            yield on(c, "image", say=f"comes from {found}, which is retired (now {_RETIRED[found]})")


_ENDED = (
    ("debian", ("jessie", "stretch", "buster", "8", "9", "10")),
    ("ubuntu", ("14.04", "16.04", "18.04", "20.04", "trusty", "xenial", "bionic", "focal")),
    ("centos", ("6", "7", "8", "latest")),
    ("alpine", tuple(f"3.{n}" for n in range(20))),
    ("node", tuple(str(n) for n in (*range(4, 19), 19, 20, 21, 23))),
    ("python", ("2", "2.7", "3.4", "3.5", "3.6", "3.7", "3.8", "3.9")),
    ("postgres", ("9", "9.5", "9.6", "10", "11", "12", "13")),
    ("mysql", ("5", "5.5", "5.6", "5.7", "8.0")),
    ("mariadb", ("5.5", "10.0", "10.1", "10.2", "10.3", "10.4", "10.5")),
    ("redis", ("3", "4", "5", "6.0")),
    ("mongo", ("3", "4.0", "4.2", "4.4", "5.0", "6.0")),
    ("php", ("5", "7", "7.4", "8.0", "8.1")),
    ("openjdk", ("7", "8", "11")),
    ("golang", tuple(f"1.{n}" for n in range(24))),
    ("nginx", tuple(f"1.{n}" for n in range(26))),
    ("ruby", ("2", "2.7", "3.0", "3.1")),
)


@check(
    "LT-IMG-094",
    "image at its end of life",
    WARNING,
    why="Nobody fixes its security holes any more.",
    fix="move to a version that is maintained",
)
def ended(world: World) -> Iterator[Hit]:
    for c, image in _written(world):
        name = image.repository.removeprefix("library/")
        for official, versions in _ENDED:
            if image.registry == "docker.io" and name == official and _is_version(image.tag, versions):
                yield on(c, "image", say=f"runs {official} {image.tag}, which is no longer maintained")


def _is_version(tag: str, versions: tuple[str, ...]) -> bool:
    number = tag.partition("-")[0]
    return any(number == v or number.startswith(v + ".") for v in versions if v.count(".") or len(number.split(".")[0]) == len(v))


@check(
    "LT-IMG-223",
    "image reference is not valid",
    ERROR,
    why="The node cannot pull it: the pod stays in InvalidImageName.",
    fix="write REGISTRY/NAME:TAG in lower case",
)
def invalid(world: World) -> Iterator[Hit]:
    form = re.compile(r"([\w.\-]+(:\d+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[\w][\w.\-]{0,127})?(@[a-z0-9]+:[0-9a-f]{32,})?")
    for c in world.containers:
        if "image" in c.data and not re.search(r"[${}]", c.image) and not form.fullmatch(c.image):
            yield on(c, "image", say=f"has an invalid image reference {c.image!r}")
        elif "image" not in c.data:
            yield on(c, say="has no image")


@check(
    "LT-IMG-224",
    "different versions of one image",
    WARNING,
    why="The same program in two versions in one set of manifests is mostly an update that was forgotten somewhere.",
    fix="use one version, or say why not in a waiver",
)
def mixed_versions(world: World) -> Iterator[Hit]:
    versions: dict[tuple[str, str], dict[str, Container]] = {}
    for c, image in _written(world):
        if image.tag and c.stays:
            versions.setdefault((c.workload.namespace, f"{image.registry}/{image.repository}"), {}).setdefault(image.tag, c)
    for (_, name), found in versions.items():
        if len({c.workload.labels.get("version", "") for c in found.values()}) > 1:
            continue  # canaries and versions side by side say so in a label
        if len(found) > 1:
            c = list(found.values())[-1]
            yield on(c, "image", say=f"runs {name} as {c.image.rpartition(':')[2]}; others run {next(iter(found))}", severity=INFO)
