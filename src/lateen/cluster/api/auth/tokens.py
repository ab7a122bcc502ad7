"""Bearer tokens: a few static ones (kept as hashes) and ServiceAccount JWTs, bound to their account and pod.

A verified token costs a dictionary look-up the next time; the objects it is bound to are looked at every time, so that a token
ends with its pod.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lateen.aio.clock import Clock
from lateen.cluster.api.user import UserInfo
from lateen.errors import UnauthorizedError
from lateen.kube.meta import Object, meta, uid_of

ISSUER = "https://kubernetes.default.svc.cluster.local"
Find = Callable[[str, str, str], Object | None]  # (plural, namespace, name) -> the stored object
_CACHED = 4096


class StaticTokens:
    """Tokens in a file, as SHA-256 hashes: ``{hash: {"name": ..., "groups": [...]}}``."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._users: dict[str, UserInfo] = {}
        if file.exists():
            for digest, user in json.loads(file.read_text()).items():
                self._users[digest] = UserInfo(name=user["name"], groups=tuple(user["groups"]))

    def add(self, user: UserInfo) -> str:
        """A new token for ``user``, told once and kept only as a hash."""
        token = secrets.token_urlsafe(32)
        self._users[_digest(token)] = user
        scratch = self._file.with_suffix(".new")
        users = {d: {"name": u.name, "groups": list(u.groups)} for d, u in self._users.items()}
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            json.dump(users, out)
            out.flush()
            os.fsync(out.fileno())
        scratch.replace(self._file)
        return token

    def user(self, token: str) -> UserInfo | None:
        """Whose token this is. Comparing hashes tells an attacker nothing about the token."""
        return self._users.get(_digest(token))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Verified:
    user: UserInfo
    claims: Mapping[str, Any]


class ServiceAccountTokens:
    """Issues and verifies ServiceAccount tokens, signed with the cluster's key."""

    def __init__(self, key: bytes, *, clock: Clock, find: Find) -> None:
        private = serialization.load_pem_private_key(key, None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        self._private, self._public = private, private.public_key()
        self._clock, self._find = clock, find
        self._verified: dict[str, _Verified] = {}
        self.key_id = self._key_id()

    def issue(
        self, account: Object, *, audiences: Sequence[str], seconds: int, bound: Mapping[str, str] | None = None, node: str = ""
    ) -> tuple[str, float]:
        """(token, expiry as a Unix time) for a ServiceAccount; ``bound`` is {kind, name, uid} of the pod or Secret it ends with."""
        m, now = meta(account), self._clock.now().timestamp()
        private: dict[str, Any] = {
            "namespace": m["namespace"],
            "serviceaccount": {"name": m["name"], "uid": uid_of(account)},
        }
        if bound:
            private[bound["kind"].lower()] = {"name": bound["name"], "uid": bound["uid"]}
        if node:
            private["node"] = {"name": node}
        claims = {
            "iss": ISSUER,
            "aud": list(audiences) or [ISSUER],
            "sub": f"system:serviceaccount:{m['namespace']}:{m['name']}",
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now) + seconds,
            "jti": secrets.token_hex(16),
            "kubernetes.io": private,
        }
        return jwt.encode(claims, self._private, algorithm="ES256", headers={"kid": self.key_id}), now + seconds

    def user(self, token: str, *, audiences: Sequence[str] = (ISSUER,)) -> UserInfo | None:
        """Whose token this is; None if it is not one of ours. UnauthorizedError when it is over, or its pod is gone."""
        key = _digest(token) + ",".join(audiences)
        found = self._verified.get(key)
        if found is None:
            found = self._verify(token, audiences)
            if found is None:
                return None
            if len(self._verified) >= _CACHED:
                self._verified.clear()
            self._verified[key] = found
        self._still_good(found.claims)
        return found.user

    def _verify(self, token: str, audiences: Sequence[str]) -> _Verified | None:
        try:
            claims = jwt.decode(
                token,
                self._public,
                algorithms=["ES256"],
                audience=list(audiences),
                issuer=ISSUER,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            return None
        private = claims["kubernetes.io"]
        namespace = private["namespace"]
        extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims['jti']}",)}
        for kind in ("pod", "node"):
            if kind in private:
                extra[f"authentication.kubernetes.io/{kind}-name"] = (private[kind]["name"],)
        user = UserInfo(
            name=claims["sub"],
            uid=private["serviceaccount"]["uid"],
            groups=("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
            extra=extra,
        )
        return _Verified(user, claims)

    def _still_good(self, claims: Mapping[str, Any]) -> None:
        now, private = self._clock.now().timestamp(), claims["kubernetes.io"]
        if not claims["nbf"] - 5 <= now < claims["exp"]:
            raise UnauthorizedError("the token is not valid at this time")
        namespace = private["namespace"]
        for kind, plural in (("serviceaccount", "serviceaccounts"), ("pod", "pods"), ("secret", "secrets")):
            if (bound := private.get(kind)) is not None:
                found = self._find(plural, namespace, bound["name"])
                if found is None or uid_of(found) != bound["uid"]:
                    raise UnauthorizedError(f"the token's {kind} {bound['name']} is gone")

    def _key_id(self) -> str:
        der = self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return _base64(hashlib.sha256(der).digest())

    def jwks(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set."""
        numbers = self._public.public_numbers()
        x, y = (_base64(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
        return {"keys": [{"use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256", "x": x, "y": y}]}


def openid_configuration(server: str) -> dict[str, Any]:
    """The OIDC discovery document."""
    return {
        "issuer": ISSUER,
        "jwks_uri": f"{server}/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
