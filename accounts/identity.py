"""User tokens: who a person is, as a JWT whose `sub` is the user's UUID."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt

ALGORITHM = "HS256"


def mint_token(
    user_id: UUID, secret: str, *, now_ms: int, ttl: timedelta = timedelta(hours=1), email: str | None = None
) -> str:
    """A token signed with the shared secret, for operators, demos and tests."""
    issued = datetime.fromtimestamp(now_ms / 1000, UTC)
    claims = {"sub": str(user_id), "iat": issued, "exp": issued + ttl}
    if email is not None:
        claims["email"] = email
    return jwt.encode(claims, secret, algorithm=ALGORITHM)
