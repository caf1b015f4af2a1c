"""What a token says, judged: is it in force, is it meant for us, whose is it. Its signature was judged before.

The claims are checked here and not by the JWT library, which asks the machine's clock itself.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

Claims = Mapping[str, Any]

# OpenID Connect Core, section 2: a subject has at most 255 ASCII characters.
_MAX_SUBJECT_CHARS = 255
_NOBODY = UUID(int=0)
# RFC 5321, section 4.5.3.1, less the two brackets of a path.
_MAX_EMAIL_CHARS = 254
# What HTML takes in `<input type=email>`, and a dot: nothing in it can end a header or begin another address.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"[\w.!#$%&'*+/=?^`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+", re.ASCII)


class Refused(Exception):
    """A token proves nothing. `reason` is a short code for our log; the caller is never told which it was."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of a token beyond its signature; no issuer, audience or authorized party: not checked."""

    issuer: str | None = None
    audience: frozenset[str] = frozenset()
    authorized_parties: frozenset[str] = frozenset()
    leeway_s: float = 30.0
    derives_user_id: bool = False


def user_of(claims: Claims, now_s: float, rules: Rules) -> UUID:
    """Whose token it is; raises Refused if it is not in force now, not meant for us, or names nobody."""
    _check_times(claims, now_s, rules.leeway_s)
    if rules.issuer is not None and claims.get("iss") != rules.issuer:
        raise Refused("issuer")
    if rules.audience and rules.audience.isdisjoint(_audience(claims)):
        raise Refused("audience")
    _check_party(claims, rules.authorized_parties)
    if rules.derives_user_id:
        return derived_from(claims)
    return _uuid(_text(claims, "sub", "subject"))


def email_of(claims: Claims) -> str | None:
    """The user's address, where the token has one that is plainly an address and not said to be unverified.

    Not every provider says whether it verified the address; some say so in quotes.
    """
    email = claims.get("email")
    if not isinstance(email, str) or len(email) > _MAX_EMAIL_CHARS or not _EMAIL.fullmatch(email):
        return None
    return email if claims.get("email_verified", True) in (True, "true") else None


def derived_from(claims: Claims) -> UUID:
    """The user's id where it is derived; raises Refused for an issuer or a subject that no token may have."""
    return derived_user_id(_text(claims, "iss", "issuer"), _text(claims, "sub", "subject"))


def derived_user_id(issuer: str, subject: str) -> UUID:
    """The UUID (version 5) of a subject that is none itself, the same forever.

    Nested, so that no two pairs look alike. In SQL, with uuid-ossp:
    `uuid_generate_v5(uuid_generate_v5(uuid_ns_url(), issuer), subject)`.
    """
    return uuid5(uuid5(NAMESPACE_URL, issuer), subject)


def _check_party(claims: Claims, expected: frozenset[str]) -> None:
    """Which client the token was issued to.

    Keycloak and Auth0 always say so. Clerk's `azp` is the `Origin` that asked for the token, left out where there was
    none, and by its documentation a token without one is good.
    """
    if not expected or "azp" not in claims:
        return
    party = claims["azp"]
    if not isinstance(party, str) or party not in expected:
        raise Refused("authorized_party")


def _check_times(claims: Claims, now_s: float, leeway_s: float) -> None:
    expires_s = _time_s(claims, "exp")
    if expires_s is None:
        raise Refused("no_expiry")
    if now_s - leeway_s >= expires_s:
        raise Refused("expired")
    for name in ("nbf", "iat"):
        begins_s = _time_s(claims, name)
        if begins_s is not None and begins_s > now_s + leeway_s:
            raise Refused("not_yet_valid")


def _time_s(claims: Claims, name: str) -> float | None:
    """Seconds since 1970; None if the claim is not there."""
    if name not in claims:
        return None
    value = claims[name]
    # bool is an int in Python; a number in quotes is no number (RFC 7519, section 2)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("malformed")
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused("malformed")
    return value


def _audience(claims: Claims) -> list[str]:
    """RFC 7519, section 4.1.3: one name, or a list of names."""
    given = claims.get("aud")
    names: list[Any] = given if isinstance(given, list) else [given]
    if not all(isinstance(name, str) for name in names):
        raise Refused("audience")
    return names


def _text(claims: Claims, name: str, reason: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value.isascii() or not 0 < len(value) <= _MAX_SUBJECT_CHARS:
        raise Refused(reason)
    return value


def _uuid(subject: str) -> UUID:
    try:
        user_id = UUID(subject)
    except ValueError:
        raise Refused("subject_is_no_uuid") from None
    # UUID() also takes braces, `urn:uuid:` and no hyphens at all; and nobody is nobody's account
    if str(user_id) != subject.lower() or user_id == _NOBODY:
        raise Refused("subject_is_no_uuid")
    return user_id
