"""Every way to refuse or fail: status, type and code in one table, bodies in the OpenAI shape.

A `Failure` is raised where it is found and turned into an answer at one place. Messages are for the caller and
carry no key, no credential and nothing of the upstream's address.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

# code -> (HTTP status, OpenAI error type); the codes are those of the HTTP contract
TABLE: dict[str, tuple[int, str]] = {
    "invalid_http": (400, "invalid_request_error"),
    "invalid_request_error": (400, "invalid_request_error"),
    "missing_api_key": (401, "invalid_request_error"),
    "invalid_auth_format": (401, "invalid_request_error"),
    "invalid_api_key": (401, "invalid_request_error"),
    "insufficient_balance": (402, "insufficient_quota"),
    "key_frozen": (403, "invalid_request_error"),
    "wallet_frozen": (403, "invalid_request_error"),
    "ip_not_allowed": (403, "invalid_request_error"),
    "route_not_allowed": (403, "invalid_request_error"),
    "model_not_allowed": (403, "invalid_request_error"),
    "not_found": (404, "invalid_request_error"),
    "model_not_found": (404, "invalid_request_error"),
    "model_not_priced": (404, "invalid_request_error"),
    "usage_not_found": (404, "invalid_request_error"),
    "request_timeout": (408, "invalid_request_error"),
    "request_too_large": (413, "invalid_request_error"),
    "rate_limit_exceeded": (429, "requests"),
    "budget_exceeded": (429, "insufficient_quota"),
    "internal_error": (500, "server_error"),
    "upstream_error": (502, "server_error"),
    "limits_unavailable": (503, "server_error"),
    "accounts_unavailable": (503, "server_error"),
    "overloaded": (503, "server_error"),
    "upstream_timeout": (504, "server_error"),
}


@dataclass(eq=False)
class Failure(Exception):
    """A refusal or a fault, as the client is to see it; `reason` says more to the operator, in the program's words."""

    code: str
    message: str
    param: str | None = None
    details: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""

    def __post_init__(self) -> None:
        assert self.code in TABLE, self.code

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def status(self) -> int:
        return TABLE[self.code][0]

    def body(self) -> bytes:
        """`{"error": {message, type, param, code}}`, with `details` where there are any."""
        error: dict[str, Any] = {
            "message": self.message,
            "type": TABLE[self.code][1],
            "param": self.param,
            "code": self.code,
        }
        if self.details is not None:
            error["details"] = self.details
        return orjson.dumps({"error": error})


def retry_after(wait_ms: int) -> dict[str, str]:
    """When to come back, in both forms that OpenAI's clients read; whole seconds are rounded up."""
    return {"retry-after": str(max(1, -(-wait_ms // 1000))), "retry-after-ms": str(max(1, wait_ms))}


def invalid_request(message: str, param: str | None = None) -> Failure:
    return Failure("invalid_request_error", message, param)


def invalid_api_key() -> Failure:
    """The same answer for an unknown, a revoked and an expired key: it must not tell which."""
    return Failure("invalid_api_key", "Incorrect API key provided.", headers={"www-authenticate": "Bearer"})
