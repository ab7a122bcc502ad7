"""On whose behalf images are pulled: a pod's secrets and its events. Used by ``container``, and by ``worker`` for volumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lateen.cluster.node import image_words
from lateen.cluster.node.context import NodeContext
from lateen.cluster.node.seam import Puller
from lateen.errors import InputError, NotFoundError
from lateen.images.reference import parse
from lateen.kube.meta import Object, meta
from lateen.kube.resources import SECRETS

Warn = Callable[[str, str], None]


async def pull_secrets(context: NodeContext, pod: Object, warn: Warn) -> list[Object]:
    """The pod's pull secrets; a missing one is told and does without."""
    names = [s["name"] for s in (pod.get("spec") or {}).get("imagePullSecrets") or () if s.get("name")]
    found, lost = [], []
    for name in dict.fromkeys(names):
        try:
            found.append(await context.client.get(SECRETS, name, meta(pod).get("namespace", "")))
        except NotFoundError:
            lost.append(name)
    if lost:
        what = f"Unable to retrieve some image pull secrets ({', '.join(lost)})"
        warn("FailedToRetrieveImagePullSecret", f"{what}; attempting to pull the image may not succeed.")
    return found


def default_policy(ref: str) -> str:
    """The pull policy where none is written."""
    try:
        return "Always" if parse(ref).tag == "latest" else "IfNotPresent"
    except InputError:  # whoever pulls says so
        return "IfNotPresent"


async def image_folder(context: NodeContext, pod: Object, ref: str, policy: str) -> Path:
    """The files of an image that is a volume of ``pod``. ImageError."""
    say = context.recorder.normal
    puller = Puller(
        begins=lambda: say(pod, "Pulling", f'Pulling image "{ref}"'),
        secrets=lambda: pull_secrets(context, pod, lambda reason, text: context.recorder.warning(pod, reason, text)),
    )
    image = await context.images.ensure(ref, policy, puller, whole=True)
    if image.pulled is not None:
        say(pod, "Pulled", image_words.pulled(ref, image.pulled))
    else:
        say(pod, "Pulled", f'Container image "{ref}" already present on machine')
    assert image.rootfs is not None  # that is what whole means
    return image.rootfs
