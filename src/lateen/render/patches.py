"""The user's own changes of rendered objects, made last. A patch that hits nothing is an error: it would silently stop working.

``merge: {$patch: delete}`` takes the objects out, as in Kustomize.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from lateen.errors import InputError, LateenError
from lateen.kube.meta import Object, edit
from lateen.kube.patches.json import json_patch
from lateen.kube.patches.strategic import strategic_merge
from lateen.kube.schemas import type_of
from lateen.model import Application
from lateen.model.patch import Patch

_DELETE = {"$patch": "delete"}


def patched(app: Application, objects: Sequence[Object], patches: Sequence[Patch], *path: str | int) -> list[Object]:
    """``objects`` with every patch made, in their order. ``path`` leads to the patches in the file. InputError."""
    result = list(objects)
    for i, patch in enumerate(patches):
        where = app.where(*path, "patches", i)
        hits = [n for n, found in enumerate(result) if _hit(patch, found)]
        if not hits:
            wanted = patch.target.kind + (f" {patch.target.name}" if patch.target.name else "")
            known = ", ".join(sorted({f"{o['kind']} {o['metadata']['name']}" for o in result if o["kind"] == patch.target.kind}))
            kinds = ", ".join(sorted({o["kind"] for o in result}))
            raise InputError(f"no {wanted} is rendered: the patch hits nothing", where=where, hint=f"there are: {known or kinds}")
        if patch.merge == _DELETE:
            result = [o for n, o in enumerate(result) if n not in hits]
            continue
        for n in hits:
            result[n] = _patch(result[n], patch, where)
    return result


def _hit(patch: Patch, found: Object) -> bool:
    return found["kind"] == patch.target.kind and fnmatchcase(found["metadata"]["name"], patch.target.name or "*")


def _patch(found: Object, patch: Patch, where: str) -> Object:
    group, _, version = found["apiVersion"].rpartition("/")
    try:
        if patch.json_ is not None:
            result: Object = json_patch(edit(found), patch.json_)
        else:
            result = strategic_merge(edit(found), patch.merge, type_of(group, version, found["kind"]))
    except LateenError as error:
        raise InputError(f"the patch of {found['kind']} {found['metadata']['name']}: {error}", where=where) from error
    return result
