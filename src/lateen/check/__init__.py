"""Findings on models, manifests and live objects: a check per function. Pure; ``lateen check`` reads files and prints.

``read`` texts, build a ``World``, ``run`` the checks over it. Checks of one's own are made with ``check``.
"""

from lateen.check.config import Config
from lateen.check.finding import Edit, Finding, Hit, Severity
from lateen.check.manifest import Manifest
from lateen.check.reading import Read, read
from lateen.check.registry import Check, all_checks, check
from lateen.check.run import Report, run
from lateen.check.world import Settings, World

__all__ = [
    "Check",
    "Config",
    "Edit",
    "Finding",
    "Hit",
    "Manifest",
    "Read",
    "Report",
    "Settings",
    "Severity",
    "World",
    "all_checks",
    "check",
    "read",
    "run",
]
