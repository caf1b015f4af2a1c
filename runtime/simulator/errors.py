"""A refusal, in the shape OpenAI gives it."""

import orjson


class Refused(Exception):
    """The request is answered with an error `status` and nothing is generated."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind

    def body(self) -> bytes:
        return error_body(self.message, self.kind, code=self.code, param=self.param)


def error_body(message: str, kind: str, *, code: str | None = None, param: str | None = None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def invalid(message: str, param: str | None = None) -> Refused:
    """A 400 for the field `param`; the caller raises it."""
    return Refused(400, message, param=param)
