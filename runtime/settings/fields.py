"""What settings are made of: addresses, secrets, durations; and what all sections share."""

import re
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

MIN_SECRET_CHARS = 32


def split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its message may quote the user and the password
        raise ValueError("must be an address") from None


def _http_url(url: str) -> str:
    parts = split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must have no credentials, query or fragment")
    return url.rstrip("/")


def _upstream_url(url: str) -> str:
    """A query goes with every request, after its path: Azure's `?api-version=`."""
    address, question_mark, query = url.partition("?")
    if "#" in url or (question_mark and not _QUERY.fullmatch(query)):
        raise ValueError("must have no fragment, and a query only of visible ASCII")
    return _http_url(address) + question_mark + query


def url_of(*schemes: str) -> AfterValidator:
    def check(secret: SecretStr) -> SecretStr:
        if split(secret.get_secret_value()).scheme not in schemes:
            raise ValueError(f"must start with {' or '.join(f'{s}://' for s in schemes)}")
        return secret

    return AfterValidator(check)


def _long_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_SECRET_CHARS:
        raise ValueError(f"must be at least {MIN_SECRET_CHARS} characters")
    return secret


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def one_or_many(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


def by_commas(given: Any) -> Any:
    return [part.strip() for part in given.split(",")] if isinstance(given, str) else given


def _page_url(url: str) -> str:
    parts = split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ValueError("must be an http:// or https:// address without credentials")
    return url


_QUERY = re.compile(r"[!\"$-~]+")
HttpUrl = Annotated[str, AfterValidator(_http_url)]
UpstreamUrl = Annotated[str, AfterValidator(_upstream_url)]
PageUrl = Annotated[str, AfterValidator(_page_url)]
Name = Annotated[str, Field(min_length=1, max_length=255)]
LongSecret = Annotated[SecretStr, AfterValidator(_long_secret)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_value_is_not_there(cls, given: Any) -> Any:
        """A setting, or a section with all its lines commented out, has its default."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None or name not in cls.model_fields}
