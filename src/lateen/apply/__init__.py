"""Bring manifests into a cluster, any cluster: plan, server-side apply in dependency order, wait for health, prune, delete, status.

Takes objects, not models. Called by the CLI; speaks only through ``lateen.client``. Progress comes as events (``apply.events``).
"""

from lateen.apply.diff import Action, Change, Verb
from lateen.apply.events import Applied, EventSeen, Failure, HealthChanged, Listener, Planned, Progress, Report
from lateen.apply.health import PATIENT, Health, Patience, State
from lateen.apply.manifest import Manifest, load_manifests
from lateen.apply.plan import Plan
from lateen.apply.prune import Prune
from lateen.apply.refs import Ref, ref_of
from lateen.apply.removal import delete
from lateen.apply.run import Options, apply, plan
from lateen.apply.state import Status, follow, status

__all__ = [
    "PATIENT",
    "Action",
    "Applied",
    "Change",
    "EventSeen",
    "Failure",
    "Health",
    "HealthChanged",
    "Listener",
    "Manifest",
    "Options",
    "Patience",
    "Plan",
    "Planned",
    "Progress",
    "Prune",
    "Ref",
    "Report",
    "State",
    "Status",
    "Verb",
    "apply",
    "delete",
    "follow",
    "load_manifests",
    "plan",
    "ref_of",
    "status",
]
