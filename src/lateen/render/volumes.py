"""Configuration, secrets and storage of a service: the objects that hold them, and how its container mounts them.

Objects that restart the service when they change carry a hash of their content in their name and are immutable: every version of
the service keeps its own copy, so going back needs nothing but the old pod template.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from posixpath import dirname
from typing import Any

from lateen.errors import InputError
from lateen.kube.meta import Object
from lateen.model import Application, Service
from lateen.model.container import ConfigFile, Storage
from lateen.render.environment import expand
from lateen.render.hidden import Hidden
from lateen.render.names import content_hash, obj, selector, service_labels, slug

Files = Mapping[str, bytes]
_MODES = {"rwo": "ReadWriteOnce", "rwx": "ReadWriteMany", "rox": "ReadOnlyMany"}


@dataclass(slots=True)
class Volumes:
    """What one service mounts. ``file_secrets`` maps a secret's target to the Secret rendered for it; ``claims`` are templates."""

    objects: list[Object] = field(default_factory=list)
    volumes: list[dict[str, Any]] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    file_secrets: dict[str, str] = field(default_factory=dict)
    claims: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, source: Mapping[str, Any], *mounts: Mapping[str, Any]) -> None:
        """One volume and its mounts."""
        self.volumes.append({"name": name, **source})
        self.mounts += [{"name": name, **m} for m in mounts]


def files_needed(app: Application) -> dict[str, str]:
    """The files whose content ``render`` needs: their path as written, and where it is written."""
    needed: dict[str, str] = {}
    for name, service in app.services.items():
        for path, config in service.config.items():
            if config.source is not None:
                needed[config.source] = app.where("services", name, "config", path, "source")
        for target, secret in service.secrets.items():
            if secret.file:
                needed[secret.file] = app.where("services", name, "secrets", target, "from")
    return needed


def volumes(app: Application, name: str, files: Files) -> Volumes:
    """Everything the service mounts. InputError for a file that was not given."""
    service, result = app.services[name], Volumes()
    _config(result, app, name, files)
    _secrets(result, app, name, files)
    for path, storage in service.storage.items():
        _storage(result, app, name, path, storage)
    return result


def _config(result: Volumes, app: Application, name: str, files: Files) -> None:
    service = app.services[name]
    fixed = {p: c for p, c in service.config.items() if c.on_change == "restart"}
    if fixed:
        data = _data({slug(p): _content(c, app, files) for p, c in fixed.items()})
        title = f"{name}-config-{content_hash(sorted(data.items()))}"
        labels = service_labels(app, name)
        result.objects.append(obj("v1", "ConfigMap", title, app=app, labels=labels, **data, immutable=True))
        mounts = [{"mountPath": p, "subPath": slug(p), "readOnly": True} for p in fixed]
        result.add("config", {"configMap": {"name": title, "items": [_item(p, c) for p, c in fixed.items()]}}, *mounts)
    _live_config(result, app, name, files)


def _live_config(result: Volumes, app: Application, name: str, files: Files) -> None:
    """Files that change under running pods: whole folders are mounted, because a file mounted alone never changes."""
    live = {p: c for p, c in app.services[name].config.items() if c.on_change == "none"}
    if not live:
        return
    title = f"{name}-live-config"
    data = _data({slug(p): _content(c, app, files) for p, c in live.items()})
    result.objects.append(obj("v1", "ConfigMap", title, app=app, labels=service_labels(app, name), **data))
    for folder in dict.fromkeys(dirname(p) for p in live):
        items = [_item(p, c) | {"path": p.removeprefix(folder).lstrip("/")} for p, c in live.items() if dirname(p) == folder]
        volume = f"live-{slug(folder)}"[:63]
        result.add(volume, {"configMap": {"name": title, "items": items}}, {"mountPath": folder, "readOnly": True})


def _item(path: str, config: ConfigFile) -> dict[str, Any]:
    return {"key": slug(path), "path": slug(path), "mode": config.mode}


def _content(config: ConfigFile, app: Application, files: Files) -> bytes:
    if config.template is not None:
        return expand(config.template, app).encode()
    return _read(config.source, files) if config.source is not None else (config.content or "").encode()


def _read(path: str, files: Files) -> bytes:
    if path not in files:
        raise InputError(f"the content of {path} was not given", hint="read the files named by files_needed")
    return files[path]


def _data(contents: Mapping[str, bytes]) -> dict[str, Any]:
    """``data`` for text, ``binaryData`` for the rest."""
    text, binary = {}, {}
    for key, content in contents.items():
        try:
            text[key] = content.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(content).decode()
    return {"data": text, "binaryData": binary}


def _secrets(result: Volumes, app: Application, name: str, files: Files) -> None:
    service = app.services[name]
    own = {t: _read(s.file, files).rstrip(b"\n") for t, s in service.secrets.items() if s.file}
    if own:
        data = {_key(t): Hidden(content) for t, content in own.items()}
        title = f"{name}-secret-{content_hash(sorted((_key(t), content) for t, content in own.items()))}"
        labels = service_labels(app, name)
        result.objects.append(obj("v1", "Secret", title, app=app, labels=labels, type="Opaque", data=data, immutable=True))
        result.file_secrets = dict.fromkeys(own, title)
    for path in (t for t in service.secrets if t.startswith("/")):
        _secret_file(result, service, path)


def _secret_file(result: Volumes, service: Service, path: str) -> None:
    source = service.secrets[path]
    name, key = (result.file_secrets[path], _key(path)) if source.file else tuple(source.from_.split("/", 1))
    secret = {"secretName": name, "items": [{"key": key, "path": slug(path), "mode": 0o444}]}
    optional = {"optional": True} if source.optional else {}
    mount = {"mountPath": path, "subPath": slug(path), "readOnly": True}
    result.add(f"secret-{slug(path)}"[:63], {"secret": secret | optional}, mount)


def _key(target: str) -> str:
    return slug(target) if target.startswith("/") else target


def _storage(result: Volumes, app: Application, name: str, path: str, storage: Storage) -> None:
    volume = f"data-{slug(path)}"[:63]
    if storage.ephemeral:
        result.add(volume, {"emptyDir": {"sizeLimit": storage.size}}, {"mountPath": path})
        return
    spec = {
        "accessModes": [_MODES[storage.mode]],
        "resources": {"requests": {"storage": storage.size}},
        **({"storageClassName": storage.class_} if storage.class_ is not None else {}),
    }
    read_only = {"readOnly": True} if storage.mode == "rox" else {}
    if app.services[name].per_replica(storage):
        result.claims.append({"metadata": {"name": volume, "labels": selector(app, name)}, "spec": spec})
        result.mounts.append({"name": volume, "mountPath": path, **read_only})
        return
    claim = f"{name}-{slug(path)}"
    labels = service_labels(app, name) | ({} if storage.retain else {"lateen.dev/retain": "false"})
    result.objects.append(obj("v1", "PersistentVolumeClaim", claim, app=app, labels=labels, spec=spec))
    result.add(volume, {"persistentVolumeClaim": {"claimName": claim}}, {"mountPath": path, **read_only})
