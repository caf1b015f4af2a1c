"""What an API key looks like, and the two things that may be kept of it: its start and a hash.

A key is `pp_live-` and 32 characters of base64url from 24 random bytes: 40 characters. The first 15 are stored to
find it by; the whole is stored only as a bcrypt hash. bcrypt reads at most 72 bytes, so nothing is cut off.
"""

import base64
import hmac
import os
import re
from dataclasses import dataclass, field
from hashlib import blake2b

import bcrypt

KEY_CHARS = 40
PREFIX_CHARS = 15
_RANDOM_BYTES = 24
# keys.bcrypt_cost goes no higher: 1.6 s of a core.
MAX_BCRYPT_COST = 15


@dataclass(frozen=True, slots=True)
class KeyFormat:
    """Keys that start with `prefix`, which is 8 characters long."""

    prefix: str = "pp_live-"
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pattern", re.compile(re.escape(self.prefix) + r"[A-Za-z0-9_-]{32}"))

    def mint(self, random: bytes | None = None) -> str:
        """A new key; `random` is 24 bytes, from the operating system unless given."""
        return self.prefix + base64.urlsafe_b64encode(random or os.urandom(_RANDOM_BYTES)).decode()

    def matches(self, text: str) -> bool:
        return self._pattern.fullmatch(text) is not None


def lookup_prefix(key: str) -> str:
    """The part of a key that is stored in the clear."""
    return key[:PREFIX_CHARS]


def cache_id(key: str, pepper: bytes) -> str:
    """The name under which a verified key is remembered: HMAC-SHA256 of the whole key, in hex.

    The whole key goes in: a cache named by a part of it would let another key with that part pass.
    """
    return hmac.digest(pepper, key.encode(), "sha256").hex()


def memory_id(key: str, secret: bytes) -> bytes:
    """The same for the memory of one process, which makes up its own `secret` of 64 bytes at most: keyed BLAKE2b.

    Every request asks for it, and OpenSSL's HMAC takes ten times as long, most of it to be found and set up.
    """
    return blake2b(key.encode(), key=secret, digest_size=32).digest()


def hash_key(key: str, cost: int) -> str:
    """Slow on purpose: call it in a thread."""
    return bcrypt.hashpw(key.encode(), bcrypt.gensalt(cost)).decode()


def matches_hash(key: str, key_hash: str) -> bool:
    """Slow on purpose: call it in a thread. A stored hash that is none matches nothing.

    Nor does one of a cost that no configuration allows: whoever wrote it, checking it would take a thread for days.
    """
    if not _is_payable(key_hash):
        return False
    try:
        return bcrypt.checkpw(key.encode(), key_hash.encode())
    except ValueError:
        return False


def _is_payable(key_hash: str) -> bool:
    """`$2b$10$…`: the number is the cost, each more twice the work."""
    _, _, cost, *_ = [*key_hash.split("$"), "", "", ""]
    return cost.isascii() and cost.isdecimal() and int(cost) <= MAX_BCRYPT_COST
