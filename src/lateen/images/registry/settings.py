"""Whom to ask for an image: mirrors, certificates, and where plain HTTP is allowed. Read from ``$LATEEN_HOME/registries.yaml``.

Plain HTTP is for this machine's own addresses and for hosts that the file lists as insecure, nobody else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from lateen.errors import InputError
from lateen.images.reference import HUB, Reference

_HUB_HOST = "registry-1.docker.io"
_SECTIONS = ("authorities", "insecure", "mirrors")
_HINT = "sections are mirrors (registry: [URL, ...]), insecure ([host, ...]) and authorities (host: file with certificates)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``mirrors`` by registry (``*``: any), tried in order before the registry itself; ``authorities``: a CA file by host."""

    mirrors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    insecure: Sequence[str] = ()
    authorities: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where one repository is asked for. ``plain``: the host may speak HTTP, or TLS that nobody vouches for."""

    host: str
    path: str
    plain: bool = False
    authority: str = ""
    schemes: Sequence[str] = ("https",)


def read(path: Path) -> Settings:
    """The settings in a file; the defaults when there is none. InputError. Blocking."""
    try:
        found = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"cannot read {path}: {error}", hint=_HINT) from error
    return _checked(found or {}, str(path))


def _checked(found: Any, where: str) -> Settings:
    if not isinstance(found, dict) or set(found) - set(_SECTIONS):
        raise InputError("this is not a registries file", where=where, hint=_HINT)
    mirrors, insecure, authorities = found.get("mirrors") or {}, found.get("insecure") or [], found.get("authorities") or {}
    lists = [insecure, *(mirrors.values() if isinstance(mirrors, dict) else [None])]
    if not all(isinstance(x, list) and all(isinstance(i, str) for i in x) for x in lists) or not isinstance(authorities, dict):
        raise InputError("this is not a registries file", where=where, hint=_HINT)
    for url in (url for urls in mirrors.values() for url in urls):
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise InputError(f"the mirror {url!r} is no URL", where=where, hint="for example https://mirror.example.com")
    return Settings(mirrors=mirrors, insecure=insecure, authorities={str(k): str(v) for k, v in authorities.items()})


def endpoints(settings: Settings, reference: Reference, *, mirrors: bool = True) -> list[Endpoint]:
    """Where to ask for an image, in order."""
    urls = (settings.mirrors.get(reference.registry) or settings.mirrors.get("*") or ()) if mirrors else ()
    found = [_mirror(settings, url, reference.path) for url in urls]
    host = _HUB_HOST if reference.registry == HUB else reference.registry
    return [*found, _endpoint(settings, host, reference.path)]


def _mirror(settings: Settings, url: str, path: str) -> Endpoint:
    parts = urlsplit(url)
    prefix = parts.path.strip("/")
    endpoint = _endpoint(settings, parts.netloc.rpartition("@")[2], f"{prefix}/{path}" if prefix else path)
    if parts.scheme == "http" and not endpoint.plain:
        raise InputError(
            f"the mirror {url} speaks plain HTTP", hint=f"list {endpoint.host} under insecure in registries.yaml to allow it"
        )
    return endpoint


def _endpoint(settings: Settings, host: str, path: str) -> Endpoint:
    plain = host in settings.insecure or _own(host)
    schemes = ("https", "http") if plain else ("https",)
    return Endpoint(host=host, path=path, plain=plain, authority=settings.authorities.get(host, ""), schemes=schemes)


def _own(host: str) -> bool:
    """Whether a host with or without port is this machine by its address."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
