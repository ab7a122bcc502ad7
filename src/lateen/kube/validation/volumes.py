"""Volumes of pods and templates (validateVolumes in pkg/apis/core/validation)."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, entries, needed, unique
from lateen.kube.validation.containers import inner_path
from lateen.kube.validation.errors import forbidden, invalid, required

# What a source cannot be without.
_NEEDS = {"configMap": "name", "secret": "secretName", "persistentVolumeClaim": "claimName", "hostPath": "path"}
_MODE_MAX = 0o777
_MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"


def volumes(spec: Object, at: str) -> Errors:
    """Every volume of a pod's spec."""
    for field, volume in entries(spec, "volumes", at):
        yield from needed(names.dns_label, f"{field}.name", volume.get("name"))
        sources = [name for name, value in volume.items() if name != "name" and value is not None]
        if not sources:
            yield required(field, "must specify a volume type")
        for name in sources[1:]:
            yield forbidden(f"{field}.{name}", "may not specify more than 1 volume type")
        for name in sources[:1]:
            yield from _source(name, volume[name], f"{field}.{name}")
    yield from unique((f"{f}.name", v["name"]) for f, v in entries(spec, "volumes", at) if v.get("name"))


def _source(name: str, source: Object, at: str) -> Errors:
    need = _NEEDS.get(name)
    if need and not source.get(need):
        yield required(f"{at}.{need}")
    mode = source.get("defaultMode")
    if mode is not None and not 0 <= mode <= _MODE_MAX:
        yield invalid(f"{at}.defaultMode", mode, _MODE_TEXT)
    if name == "projected":
        for field, inner in entries(source, "sources", at):
            yield from _projected(inner, field)
    else:
        yield from _files(source, at, keyed=name != "downwardAPI")


def _projected(source: Object, at: str) -> Errors:
    given = [name for name, value in source.items() if value is not None]
    for name in given[1:]:
        yield forbidden(f"{at}.{name}", "may not specify more than 1 volume type")
    for name in given[:1]:
        inner = source[name]
        if name in ("configMap", "secret") and not inner.get("name"):
            yield required(f"{at}.{name}.name")
        if name == "serviceAccountToken":
            yield from _token(inner, f"{at}.{name}")
        yield from _files(inner, f"{at}.{name}", keyed=name != "downwardAPI")


def _token(source: Object, at: str) -> Errors:
    seconds = source.get("expirationSeconds") or 0
    if seconds < 600:
        yield invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if not source.get("path"):
        yield required(f"{at}.path")
    else:
        yield from inner_path(source["path"], f"{at}.path")


def _files(source: Object, at: str, *, keyed: bool) -> Errors:
    for field, item in entries(source, "items", at):
        if keyed and not item.get("key"):
            yield required(f"{field}.key")
        if not item.get("path"):
            yield required(f"{field}.path")
        else:
            yield from inner_path(item["path"], f"{field}.path")
        mode = item.get("mode")
        if mode is not None and not 0 <= mode <= _MODE_MAX:
            yield invalid(f"{field}.mode", mode, _MODE_TEXT)
