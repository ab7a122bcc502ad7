"""The ControllerRevisions of one kind of workload at work: the present one is found or made, old ones go. See ``revisions``."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lateen.cluster.controllers import revisions
from lateen.cluster.controllers.kit import BY_OWNER, Kit, spec_of, status_of
from lateen.errors import AlreadyExistsError, NotFoundError
from lateen.kube.meta import Object, key_of, meta, uid_of
from lateen.kube.resources import CONTROLLERREVISIONS, Resource


class History:
    """The history of every object of ``kind``."""

    def __init__(self, kit: Kit, kind: Resource) -> None:
        self._kit, self._kind = kit, kind
        self._revisions = kit.owned(CONTROLLERREVISIONS)

    def of(self, owner: Object) -> Sequence[Object]:
        """Its revisions, oldest first."""
        return revisions.in_order(self._revisions.by_index(BY_OWNER, uid_of(owner)))

    async def present(self, owner: Object, known: Sequence[Object]) -> Object | None:
        """The revision of the present template, which is the newest one. None when another object has its name: the owner's status
        then counts the collision, so that the next look finds another."""
        newest = known[-1] if known else None
        found = revisions.equal_to(known, owner)
        number = (newest["revision"] if newest else 0) + 1
        if found is not None:
            return found if found is newest else await self._renew(found, number)
        try:
            return await self._kit.client.create(CONTROLLERREVISIONS, revisions.new_revision(owner, number))
        except AlreadyExistsError:
            count = (status_of(owner).get("collisionCount") or 0) + 1
            status = {**status_of(owner), "collisionCount": count}
            await self._kit.client.update_status(self._kind, {**owner, "status": status})
            return None

    async def _renew(self, revision: Object, number: int) -> Object:
        """A template came back: its revision becomes the newest one."""
        key = key_of(revision)
        return await self._kit.client.patch(CONTROLLERREVISIONS, key.name, {"revision": number}, namespace=key.namespace)

    async def truncate(self, owner: Object, live: Collection[str]) -> None:
        """Delete the oldest revisions beyond the owner's revisionHistoryLimit, of those whose names are not ``live``."""
        limit = spec_of(owner).get("revisionHistoryLimit", 10)
        for stale in revisions.beyond_history(self.of(owner), live, limit):
            try:
                await self._kit.client.delete(CONTROLLERREVISIONS, meta(stale)["name"], key_of(stale).namespace)
            except NotFoundError:
                continue
