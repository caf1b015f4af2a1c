"""A request as the client sent it: parsed once, and only what we rely on is checked. The rest is the upstream's."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
from msgspec import Struct

from metering.endpoints import Endpoint
from metering.estimate.outline import LONG_BYTES, outline
from metering.formats.format import Ask, InvalidAsk
from metering.injection import Outgoing, outgoing
from metering.kinds import Kind
from proxy.additions import merged
from proxy.failures import Failure, invalid_request
from proxy.http.form import is_form, read_form, renamed


class Asked(Struct, frozen=True):
    """`raw` are the client's bytes, `fields` what they parse to, `ask` what they ask for.

    `form_type`: the content type of a form, which goes upstream with its bytes; None where the body is JSON.
    `parsed`: what of `raw` was parsed: in `fields` long pictures are cut to their beginnings, which is enough to reckon
    with. `whole` is for what goes to a server.
    """

    endpoint: Endpoint
    raw: bytes
    fields: Mapping[str, Any]
    ask: Ask
    parsed: bytes
    form_type: str | None = None

    def whole(self) -> Mapping[str, Any]:
        """All fields, with nothing cut. Raises the `Failure` of a picture that is no JSON."""
        return self.fields if self.parsed is self.raw else _json(self.raw)

    def countable(self) -> Mapping[str, Any]:
        """The same to be counted afterwards, as far as it goes: a server that was asked may have been lenient."""
        try:
            return self.whole()
        except Failure:
            return self.fields

    def sent(self, kind: Kind, *, may_ask: bool, output_limit: int | None = None, name: str = "") -> Outgoing:
        """What goes upstream for it; raises the `Failure` of a body that cannot be written again.

        `name`: what the server calls the model, where that is not what the client does.
        """
        is_renamed = name not in ("", self.ask.model)
        if self.form_type is not None:
            return Outgoing(renamed(self.raw, self.form_type, name) if is_renamed else self.raw)
        try:
            made = partial(outgoing, wire=self.endpoint.wire, kind=kind, may_ask=may_ask, output_limit=output_limit)
            if is_renamed:
                fields = {**self.whole(), "model": name}
                return made(orjson.dumps(fields), fields)
            return made(self.raw, self.fields, parsed=self.parsed, whole=self.whole)
        except orjson.JSONEncodeError:
            # the parser goes deeper than the writer, which is needed where the body could be read in two ways
            raise _too_deep() from None


def parse(raw: bytes, endpoint: Endpoint, content_type: str) -> Asked:
    """Raises the `Failure` (400 `invalid_request_error`) that says what is wrong, with the parameter's name."""
    form_type = content_type if endpoint.is_form and is_form(content_type) else None
    parsed = raw
    if form_type is not None:
        fields = read_form(raw, content_type)
    elif len(raw) <= LONG_BYTES:
        fields = _json(raw)
    else:
        parsed, fields = _outlined(raw)
    try:
        return Asked(endpoint, raw, fields, endpoint.wire.ask(fields), parsed, form_type)
    except InvalidAsk as error:
        raise invalid_request(str(error), error.param) from None


def with_fields(asked: Asked, added: Mapping[str, Any]) -> Asked:
    """The same request with the operator's own fields, read anew; a form stays as it is. Raises the `Failure` of one
    that cannot have them.
    """
    if asked.form_type is not None:
        return asked
    fields = merged(asked.whole(), added)
    try:
        raw = orjson.dumps(fields)
        return Asked(asked.endpoint, raw, fields, asked.endpoint.wire.ask(fields), raw)
    except InvalidAsk as error:
        raise invalid_request(str(error), error.param) from None
    except orjson.JSONEncodeError:
        raise _too_deep() from None


def _too_deep() -> Failure:
    return invalid_request("The body is nested too deeply.")


def _outlined(raw: bytes) -> tuple[bytes, dict[str, Any]]:
    """What has to be parsed of it, and its fields."""
    found = outline(raw)
    if found.cuts:
        with suppress(Failure):  # which tells of a place in the outline
            fields = _json(found.raw)
            if found.is_of(fields):
                return found.raw, fields
    return raw, _json(raw)


def _json(raw: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        # the parser's own words: they name a place, never quote the text
        raise invalid_request(f"The body is not valid JSON: {error.msg} at byte {error.pos}.") from None
    if not isinstance(fields, dict):
        raise invalid_request("The body must be a JSON object.")
    return fields
