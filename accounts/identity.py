"""User tokens: who a person is, as a signed JWT.

A token is signed with the secret we share with its issuer (HS256) or with a key its issuer publishes (RS256, ES256);
the algorithm decides which of the two is looked at, and a key serves its own algorithm only. Nothing in a token can
bring its own key (`jwk`, `jku`, `x5c` are not read), extensions we would have to understand (`crit`) are refused,
and so is every kind of token that says it is for something else (`typ`).
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import jwt
import orjson
import structlog

from accounts.claims import Claims, Refused, Rules, email_of, user_of
from accounts.errors import NotAuthenticated
from accounts.jwk_set import PublicKey
from accounts.jwks import Jwks
from runtime.clock import ClockMs, wall_ms
from runtime.settings import Identity

log = structlog.get_logger("farebox.identity")

ALGORITHM = "HS256"
# The issuer of the tokens we mint ourselves: what is asked of the provider's tokens is not asked of them.
OWN_ISSUER = "farebox"
# Providers' tokens have 1 to 3 KiB; HTTP servers take no header much longer than this.
MAX_TOKEN_BYTES = 8 << 10
# RFC 8725, section 3.11: a logout token or a proof of possession signed with the same key is no access token.
_ACCESS_TYPES = frozenset(("jwt", "at+jwt", "application/at+jwt"))
# RFC 7515, section 7.1: no padding. An API key has no dots, an encrypted token (JWE) four.
_COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
_PUBLIC_ALGORITHMS = frozenset(("RS256", "ES256"))
_JWS = jwt.PyJWS(algorithms=[ALGORITHM, *_PUBLIC_ALGORITHMS])


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the account API; `email` only where the token has a usable one."""

    user_id: UUID
    is_admin: bool
    email: str | None = None


class PublicKeys(Protocol):
    async def find(self, kid: str | None, algorithm: str) -> PublicKey | None: ...


class TokenVerifier:
    """A bearer token -> who calls. Without a secret and without public keys every token is refused."""

    def __init__(
        self, settings: Identity, public_keys: PublicKeys | None = None, *, clock_ms: ClockMs = wall_ms
    ) -> None:
        self._secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret is not None else None
        self._public_keys = public_keys
        self._admins = frozenset(settings.admin_user_ids)
        self._clock_ms = clock_ms
        self._rules = Rules(
            issuer=settings.issuer,
            audience=frozenset(settings.audience),
            authorized_parties=frozenset(settings.authorized_parties),
            leeway_s=settings.leeway_s,
            derives_user_id=settings.subject == "derived",
        )
        self._own_rules = Rules(issuer=OWN_ISSUER, leeway_s=settings.leeway_s)

    async def verify(self, token: str) -> Caller:
        """Raises NotAuthenticated, with the same words whatever the reason."""
        try:
            claims, rules = await self._signed(token)
            user_id = user_of(claims, self._clock_ms() / 1000, rules)
        except Refused as refusal:
            log.info("token_refused", reason=refusal.reason)
            raise NotAuthenticated("the token is not valid") from None
        return Caller(user_id, user_id in self._admins, email_of(claims))

    async def _signed(self, token: str) -> tuple[Claims, Rules]:
        """What a token says that is signed by whom it should be, and what else is asked of it."""
        header = _header(token)
        algorithm = header.get("alg")
        claims = _claims(token, await self._key(algorithm, header.get("kid")), algorithm)
        is_ours = algorithm == ALGORITHM and claims.get("iss") == OWN_ISSUER
        return claims, self._own_rules if is_ours else self._rules

    async def _key(self, algorithm: Any, kid: str | None) -> str | PublicKey:
        if algorithm == ALGORITHM and self._secret is not None:
            return self._secret
        if algorithm not in _PUBLIC_ALGORITHMS or self._public_keys is None:
            raise Refused("algorithm")
        key = await self._public_keys.find(kid, algorithm)
        if key is None:
            raise Refused("unknown_key")
        return key


def _header(token: str) -> dict[str, Any]:
    """What the token says of itself, none of it proven; `kid` is text if it is there."""
    if len(token) > MAX_TOKEN_BYTES:
        raise Refused("too_long")
    if not _COMPACT.fullmatch(token):
        raise Refused("no_token")
    try:
        header = _JWS.get_unverified_header(token)
    except jwt.PyJWTError:
        raise Refused("malformed") from None
    if "crit" in header or "b64" in header:
        raise Refused("critical_extension")
    if not isinstance(header.get("alg"), str):
        raise Refused("algorithm")
    if str(header.get("typ", "JWT")).lower() not in _ACCESS_TYPES:
        raise Refused("type")
    return header


def _claims(token: str, key: str | PublicKey, algorithm: Any) -> dict[str, Any]:
    try:
        claims = orjson.loads(_JWS.decode(token, key, algorithms=[algorithm]))
    except jwt.InvalidSignatureError:
        raise Refused("signature") from None
    except (jwt.PyJWTError, orjson.JSONDecodeError):
        raise Refused("malformed") from None
    if not isinstance(claims, dict):
        raise Refused("malformed")
    return claims


@asynccontextmanager
async def open_verifier(settings: Identity) -> AsyncIterator[TokenVerifier]:
    """A verifier whose keys, where it has an address for them, are fetched and kept fresh until the context ends."""
    if settings.jwks_url is None:
        yield TokenVerifier(settings)
        return
    # here, because who shares a secret with the issuer needs no HTTP client: a tenth of a second of a start
    from accounts.jwks_fetch import fetch_jwks

    jwks = Jwks(partial(fetch_jwks, settings.jwks_url))
    try:
        await jwks.start()
        yield TokenVerifier(settings, jwks)
    finally:
        await jwks.close()


def mint_token(
    user_id: UUID, secret: str, *, now_ms: int, ttl: timedelta = timedelta(hours=1), email: str | None = None
) -> str:
    """A token signed with the shared secret, for operators, demos and tests."""
    issued = datetime.fromtimestamp(now_ms / 1000, UTC)
    claims = {"iss": OWN_ISSUER, "sub": str(user_id), "iat": issued, "exp": issued + ttl}
    if email is not None:
        claims["email"] = email
    return jwt.encode(claims, secret, algorithm=ALGORITHM)
