"""The public keys an identity provider publishes (RFC 7517): which of them may sign a token, and with what.

A key serves one algorithm, fixed by what the key is and never by what a token says. What is no RSA or P-256 key for
signatures is passed over: providers publish encryption keys and newer kinds beside them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

PublicKey = RSAPublicKey | EllipticCurvePublicKey

# Providers publish one to four; several tenants' keys in one document still fit.
MAX_KEYS = 64
# RFC 7518, section 3.3, asks for 2048; beyond 8192 a verification costs milliseconds.
_MIN_RSA_BITS = 2048
_MAX_RSA_BITS = 8192
# kty, crv -> the only algorithm such a key is used with
_ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256"}


class JwksError(Exception):
    """The keys could not be had; `reason` is a short code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str | None
    algorithm: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class JwkSet:
    keys: tuple[SigningKey, ...] = ()

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key of that name for that algorithm. A token that names none gets the only one there is, if it is so."""
        fitting = [key for key in self.keys if key.algorithm == algorithm]
        if kid is None:
            return fitting[0].key if len(fitting) == 1 else None
        return next((key.key for key in fitting if key.kid == kid), None)

    def may_be_old(self, kid: str | None, algorithm: str) -> bool:
        """Would a newer set say more? Not of a key that is here and is for something else."""
        if kid is None:
            return not any(key.algorithm == algorithm for key in self.keys)
        return not any(key.kid == kid for key in self.keys)


def parse_jwk_set(body: bytes) -> JwkSet:
    """Raises JwksError if this is no key set. One without a usable key is a key set: its issuer has none now."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise JwksError("not_json") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise JwksError("not_a_key_set")
    if len(entries) > MAX_KEYS:
        raise JwksError("too_many_keys")
    return JwkSet(tuple(_usable(entries)))


def _usable(entries: list[Any]) -> Iterator[SigningKey]:
    for entry in entries:
        if isinstance(entry, dict) and (key := _signing_key(entry)) is not None:
            yield key


def _signing_key(entry: dict[str, Any]) -> SigningKey | None:
    algorithm = _algorithm(entry)
    kid = entry.get("kid")
    if algorithm is None or not isinstance(kid, str | None):
        return None
    # who publishes a private key lets everybody sign with it
    if "d" in entry:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey) and _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
        return SigningKey(kid, algorithm, key)
    if isinstance(key, EllipticCurvePublicKey):
        return SigningKey(kid, algorithm, key)
    return None


def _algorithm(entry: dict[str, Any]) -> str | None:
    """What a key's kind is used with, unless the key says that it is for something else."""
    kind, curve = entry.get("kty"), entry.get("crv")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return None
    algorithm = _ALGORITHMS.get((kind, curve))
    operations = entry.get("key_ops", ["verify"])
    says_so = (
        entry.get("alg", algorithm) == algorithm
        and entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )
    return algorithm if says_so else None
