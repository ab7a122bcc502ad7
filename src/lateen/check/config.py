"""What the user decides: profile, what to ignore, other severities, thresholds, waivers. Read from ``[tool.lateen.check]``.

A waiver on an object is the annotation ``lateen.dev/waive: ID reason until=2026-12-31`` (several: separated by ``;`` or lines).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any

from lateen.check.finding import Severity
from lateen.check.world import Settings
from lateen.errors import InputError

WAIVE = "lateen.dev/waive"
PROFILES: Mapping[str, tuple[Severity, tuple[str, ...]]] = {
    "default": (Severity.WARNING, ()),
    "strict": (Severity.INFO, ()),
    "errors": (Severity.ERROR, ()),
    "security": (Severity.INFO, ("SEC", "RBAC", "CFG", "NET", "IMG", "NS")),
    "reliability": (Severity.INFO, ("REL", "OBJ")),
    "cost": (Severity.INFO, ("CAP",)),
    "coupling": (Severity.INFO, ("CPL",)),
    "delivery": (Severity.INFO, ("PIP", "OBS")),
}
_UNTIL = re.compile(r"\s*\buntil=(\S+)")


@dataclass(frozen=True, slots=True)
class Waiver:
    """Why a finding is accepted, and until when. ``id`` and ``object`` may be patterns."""

    id: str
    reason: str
    until: date | None = None
    object: str = "*"

    def covers(self, id: str, obj: str) -> bool:  # noqa: A002
        """Whether it is about this finding (time aside)."""
        return fnmatch.fnmatchcase(id, self.id) and any(
            fnmatch.fnmatchcase(name, self.object) for name in (obj, obj.partition(" ")[2], obj.rpartition("/")[2])
        )

    def ended(self, today: date | None) -> bool:
        """Whether its time is over."""
        return self.until is not None and today is not None and today > self.until


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. ``rules`` are CEL checks, ``plugins`` Python files or modules with checks of one's own."""

    profile: str = "default"
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severity: Mapping[str, Severity] | None = None
    waivers: tuple[Waiver, ...] = ()
    rules: tuple[Mapping[str, Any], ...] = ()
    plugins: tuple[str, ...] = ()
    settings: Settings = field(default_factory=Settings)

    def wants(self, id: str) -> bool:  # noqa: A002
        """Whether a check is to run."""
        themes = PROFILES[self.profile][1]
        if any(fnmatch.fnmatchcase(id, p) for p in self.ignore):
            return False
        if self.select:
            return any(fnmatch.fnmatchcase(id, p) for p in self.select)
        return not themes or not id.startswith("LT-") or id.split("-")[1] in themes

    @property
    def least(self) -> Severity:
        """The least severity that is shown."""
        return Severity.INFO if self.select else PROFILES[self.profile][0]


def from_table(table: Mapping[str, Any], where: str) -> Config:
    """The configuration in a TOML or YAML table. InputError names what is wrong with it."""
    known = {f.name for f in fields(Config)}
    for key in table:
        if key not in known:
            raise InputError(f"check has no setting {key!r}", where=where, hint=f"known: {', '.join(sorted(known))}")
    profile = str(table.get("profile", "default"))
    if profile not in PROFILES:
        raise InputError(f"there is no profile {profile!r}", where=where, hint=f"known: {', '.join(PROFILES)}")
    return Config(
        profile=profile,
        select=_words(table, "select", where),
        ignore=_words(table, "ignore", where),
        severity={str(k): severity(str(v), where) for k, v in dict(table.get("severity", {})).items()},
        waivers=tuple(_waiver(w, where) for w in table.get("waivers", ())),
        rules=tuple(table.get("rules", ())),
        plugins=_words(table, "plugins", where),
        settings=_settings(dict(table.get("settings", {})), where),
    )


def severity(word: str, where: str = "") -> Severity:
    """``error``, ``warning``, ``info``."""
    try:
        return Severity[word.upper()]
    except KeyError:
        raise InputError(f"{word!r} is no severity", where=where, hint="known: error, warning, info") from None


def waivers_of(text: str) -> tuple[list[Waiver], list[str]]:
    """The waivers in an annotation, and what is wrong with the others."""
    good: list[Waiver] = []
    bad: list[str] = []
    for part in filter(None, (p.strip() for p in re.split(r"[;\n]", text))):
        found = _UNTIL.search(part)
        id_, _, reason = _UNTIL.sub("", part).partition(" ")
        try:
            until = date.fromisoformat(found.group(1)) if found else None
        except ValueError:
            bad.append(f"{found.group(1) if found else ''} is no date (2026-12-31)")
            continue
        if not reason.strip():
            bad.append(f"the waiver of {id_} gives no reason")
            continue
        good.append(Waiver(id_, reason.strip(), until))
    return good, bad


def _words(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise InputError(f"check.{key} is a list of texts", where=where)
    return tuple(value)


def _waiver(data: Any, where: str) -> Waiver:
    if not isinstance(data, Mapping) or not data.get("id") or not data.get("reason"):
        raise InputError("a waiver needs an id and a reason", where=where)
    until = data.get("until")
    try:
        end = until if isinstance(until, date) or until is None else date.fromisoformat(str(until))
    except ValueError:
        raise InputError(f"{until!r} is no date", where=where, hint="for example 2026-12-31") from None
    return Waiver(str(data["id"]), str(data["reason"]), end, str(data.get("object", "*")))


def _settings(data: Mapping[str, Any], where: str) -> Settings:
    kinds = {f.name: type(getattr(Settings(), f.name)) for f in fields(Settings)}
    for key, value in data.items():
        if key not in kinds:
            raise InputError(f"check.settings has no {key!r}", where=where, hint=f"known: {', '.join(kinds)}")
        wanted = list if kinds[key] is tuple else (int, float) if kinds[key] is float else kinds[key]
        if not isinstance(value, wanted):
            raise InputError(f"check.settings.{key} cannot be {value!r}", where=where)
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return replace(Settings(), **given)
