"""What the control plane refuses, by whose doing it is. Each error knows its HTTP status and its code."""


class AccountsError(Exception):
    """The request cannot be carried out; nothing was changed. The message is for the caller."""

    status = 400
    code = "invalid_request"


class InvalidRequest(AccountsError):
    """A field is missing, of the wrong type or out of range."""


class NotAuthenticated(AccountsError):
    """No token, or one that proves nothing; which of the two is not told."""

    status = 401
    code = "invalid_token"


class NotAllowed(AccountsError):
    """The caller is known, and may not do this."""

    status = 403
    code = "forbidden"


class KeyNotFound(AccountsError):
    """There is no such key, or it is somebody else's."""

    status = 404
    code = "key_not_found"


class TooLarge(AccountsError):
    """The body is longer than any request needs."""

    status = 413
    code = "request_too_large"


class NotConfigured(AccountsError):
    """A setting that this needs is not there."""

    status = 503
    code = "not_configured"


class StripeUnavailable(AccountsError):
    """Stripe cannot be reached, or answers nothing of use; trying again later may help."""

    status = 503
    code = "stripe_unavailable"


class StripeRefused(AccountsError):
    """Stripe will not take this; `param` and `reason` are its own words for what is wrong, if it has any."""

    status = 400
    code = "stripe_refused"

    def __init__(self, message: str, param: str | None = None, reason: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.reason = reason


class BadSignature(AccountsError):
    """A webhook's body is not signed by who it should be, or was signed too long ago; which is not told."""

    code = "invalid_signature"
