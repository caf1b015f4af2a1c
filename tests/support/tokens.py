"""Signing keys, the JWKs that publish them, and tokens: well made, and made by hand where a library would refuse."""

import base64
import hashlib
import hmac
import json
from functools import cache
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

SECRET = "a secret shared with the issuer, 32+"
NOW_S = 1_790_000_000
USER = "2b7e1516-28ae-42a6-abf7-158809cf4f3c"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key per name and process: making one takes a tenth of a second."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwk(key: PrivateKey, kid: str | None, **more: Any) -> dict[str, Any]:
    """As a provider publishes it: the public half."""
    if isinstance(key, rsa.RSAPrivateKey):
        shape = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        shape = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    named = {} if kid is None else {"kid": kid}
    return shape | named | {"use": "sig"} | more


def key_set(*keys: dict[str, Any]) -> bytes:
    return orjson.dumps({"keys": keys})


def pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def claims(**more: Any) -> dict[str, Any]:
    """In force at NOW_S for a minute, for USER; a claim that is given as None is left out."""
    full = {"sub": USER, "iat": NOW_S - 60, "exp": NOW_S + 60} | more
    return {name: value for name, value in full.items() if value is not None}


def by_secret(secret: str = SECRET, header: dict[str, Any] | None = None, **more: Any) -> str:
    return jwt.encode(claims(**more), secret, "HS256", headers=header)


def by_key(key: PrivateKey, kid: str | None, header: dict[str, Any] | None = None, **more: Any) -> str:
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    named = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**more), key, algorithm, headers=named | (header or {}))


def by_hand(header: Any, payload: Any, secret: bytes = SECRET.encode()) -> str:
    """Signed with HMAC-SHA256 over whatever is given; text and bytes go in as they are."""
    signed = f"{_segment(header)}.{_segment(payload)}"
    return f"{signed}.{_base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def _segment(part: Any) -> str:
    if isinstance(part, bytes):
        return _base64url(part)
    return _base64url(part.encode() if isinstance(part, str) else json.dumps(part).encode())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
