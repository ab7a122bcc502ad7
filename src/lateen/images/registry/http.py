"""One repository at one endpoint, with one credential: requests with the authorization that the registry asks for.

Used by ``pull`` and ``push``. Answers the challenges Basic and Bearer (token endpoint); a token that has expired is fetched again.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import orjson
from yarl import URL

from lateen.aio.clock import Clock
from lateen.aio.retry import Backoff
from lateen.errors import FailedError, TransportError
from lateen.images.registry.credentials import Credential
from lateen.images.registry.settings import Endpoint

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_SAID_MOST = 8192  # bytes of an error's body that are looked at
_SLOW_DOWN = 429
_TRIES = 5
_BACKOFF = Backoff(first=0.5, most=8.0)
_WAIT_MOST = 30.0  # seconds, whatever a registry asks for
T = TypeVar("T")


class RegistryError(FailedError):
    """The registry answered with an error. ``status`` is HTTP's."""

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after

    @property
    def passing(self) -> bool:
        """Whether the same may work a moment later."""
        return self.status >= 500 or self.status == _SLOW_DOWN


class UnreachableError(TransportError):
    """There was no answer at all: one more attempt, not many."""


def session() -> aiohttp.ClientSession:
    """What all requests of one pull or push share."""
    return aiohttp.ClientSession(timeout=_TIMEOUT, read_bufsize=1 << 20, auto_decompress=False, trust_env=True)


class Repository:
    """``actions`` is what a token is asked for: ``pull`` or ``pull,push``; ``also`` names repositories to be read, too."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        endpoint: Endpoint,
        credential: Credential | None,
        *,
        actions: str = "pull",
        also: tuple[str, ...] = (),
    ) -> None:
        self._http, self.endpoint, self._credential = http, endpoint, credential
        self._scopes = [f"repository:{endpoint.path}:{actions}", *(f"repository:{path}:pull" for path in also)]
        self._authorization = ""
        self._asking = asyncio.Lock()
        self._scheme = ""

    def url(self, tail: str) -> str:
        """The path of something in this repository, for ``request``."""
        return f"/v2/{self.endpoint.path}/{tail}"

    @asynccontextmanager
    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, data: Any = None, missing: bool = False
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request to a path of the registry, or to a URL it gave. RegistryError for what it refuses, but for 404 with
        ``missing``; TransportError. ``data`` that cannot be sent twice is given as a function that makes it."""
        target = await self._target(url)
        used = self._authorization
        for last in (False, True):
            response = await self._send(method, target, {**(headers or {})}, data)
            if response.status == 401 and not last and self._is_ours(target):
                challenges = response.headers.getall("WWW-Authenticate", [])
                response.release()
                await self._authorize(challenges, used)
                continue
            break
        try:
            if response.status >= 400 and not (missing and response.status == 404):
                raise await _refusal(response)
            yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransportError(f"{self.endpoint.host} broke off: {_text(error)}") from error
        finally:
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    async def _send(self, method: str, url: URL, headers: dict[str, str], data: Any) -> aiohttp.ClientResponse:
        if self._authorization and self._is_ours(url):
            headers["Authorization"] = self._authorization
        try:
            return await self._http.request(
                method, url, headers=headers, data=data() if callable(data) else data, ssl=self._tls(), max_redirects=5
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{self.endpoint.host} cannot be reached: {_text(error)}") from error

    def _tls(self) -> ssl.SSLContext | bool:
        if self.endpoint.authority:
            return ssl.create_default_context(cafile=self.endpoint.authority)
        return not self.endpoint.plain

    async def _target(self, url: str) -> URL:
        if not self._scheme:
            self._scheme = await self._speaks()
        return URL(f"{self._scheme}://{self.endpoint.host}").join(URL(url, encoded=True))

    async def _speaks(self) -> str:
        """The first scheme that the host answers to, where there is a choice."""
        for scheme in self.endpoint.schemes[:-1]:
            try:
                async with self._http.get(f"{scheme}://{self.endpoint.host}/v2/", ssl=self._tls(), allow_redirects=False):
                    return scheme
            except (aiohttp.ClientError, TimeoutError, OSError):
                continue
        return self.endpoint.schemes[-1]

    def _is_ours(self, url: URL) -> bool:
        return url.authority == URL(f"{self._scheme}://{self.endpoint.host}").authority and url.scheme == self._scheme

    # Authorization

    async def _authorize(self, challenges: list[str], used: str) -> None:
        """Answer a challenge, once for all requests that met it."""
        async with self._asking:
            if self._authorization != used:  # somebody else just did
                return
            for challenge in challenges:
                kind, _, rest = challenge.partition(" ")
                if kind.lower() == "bearer":
                    self._authorization = f"Bearer {await self._token(dict(_PARAMETER.findall(rest)))}"
                    return
                if kind.lower() == "basic" and self._credential and self._credential.user:
                    self._authorization = _basic(self._credential)
                    return

    async def _token(self, asked: Mapping[str, str]) -> str:
        realm = URL(asked.get("realm", ""))
        if realm.scheme != "https" and not (self.endpoint.plain and realm.scheme == "http"):
            raise RegistryError(401, f"{self.endpoint.host} sends for a token to {realm}, which is not HTTPS")
        try:
            async with await self._ask(realm, asked) as response:
                if response.status >= 400:
                    raise await _refusal(response)
                said = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransportError(f"{realm.host} gives no token: {_text(error)}") from error
        except ValueError as error:
            raise RegistryError(401, f"{realm.host} gives no token that can be read") from error
        return str(said.get("token") or said.get("access_token") or "")

    async def _ask(self, realm: URL, asked: Mapping[str, str]) -> aiohttp.ClientResponse:
        scopes = list(dict.fromkeys([*self._scopes, *filter(None, [asked.get("scope", "")])]))
        service = asked.get("service", "")
        who, tls = self._credential, self._tls()
        if who is not None and who.token:
            form = {"grant_type": "refresh_token", "refresh_token": who.token, "service": service, "client_id": "lateen"}
            return await self._http.post(realm, data={**form, "scope": " ".join(scopes)}, ssl=tls)
        query = [*([("service", service)] if service else []), *(("scope", scope) for scope in scopes)]
        headers = {"Authorization": _basic(who)} if who is not None else {}
        return await self._http.get(realm.extend_query(query), headers=headers, ssl=tls)


async def retried(clock: Clock, work: Callable[[], Awaitable[T]]) -> T:
    """``work``, again after a moment when it failed for a reason that passes."""
    for failures in range(_TRIES):
        try:
            return await work()
        except UnreachableError:
            if failures:
                raise
            wait = 0.0
        except TransportError:
            if failures == _TRIES - 1:
                raise
            wait = 0.0
        except RegistryError as error:
            if failures == _TRIES - 1 or not error.passing:
                raise
            wait = error.retry_after
        await clock.sleep(min(_WAIT_MOST, max(wait, _BACKOFF.delay(failures))))
    raise AssertionError("unreachable")


async def _refusal(response: aiohttp.ClientResponse) -> RegistryError:
    """The registry's own words, if it has any."""
    status = response.status
    try:
        said = orjson.loads(await response.content.read(_SAID_MOST))
        words = "; ".join(f"{e.get('code', '')}: {e.get('message', '')}".strip(": ") for e in said["errors"])
    except (ValueError, KeyError, TypeError, AttributeError, aiohttp.ClientError):
        words = ""
    after = response.headers.get("Retry-After", "")
    return RegistryError(status, words or f"HTTP {status} {response.reason}", float(after) if after.isdigit() else 0.0)


def _basic(who: Credential) -> str:
    return "Basic " + base64.b64encode(f"{who.user}:{who.password}".encode()).decode()


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
