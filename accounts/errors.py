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


class DeadLetterNotFound(AccountsError):
    """No such event was set aside, or it is posted or dropped already."""

    status = 404
    code = "dead_letter_not_found"


class DeadLetterNotPosted(AccountsError):
    """It still cannot be posted; why, in Postgres' words. It stays where it is."""

    status = 409
    code = "dead_letter_not_posted"


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


class UnsupportedMediaType(AccountsError):
    """The body says of itself that it is something other than JSON."""

    status = 415
    code = "unsupported_media_type"


class RequestNotFound(AccountsError):
    """There is no such request, it is somebody else's, or it is not posted yet."""

    status = 404
    code = "request_not_found"


class RefundTooLarge(AccountsError):
    """More than the request was debited and has not been given back yet."""

    status = 409
    code = "refund_too_large"


class OverdraftInUse(AccountsError):
    """The wallet owes more than the overdraft that is wanted."""

    status = 409
    code = "overdraft_in_use"


class PriceNotFound(AccountsError):
    """There is no such price row."""

    status = 404
    code = "price_not_found"


class PriceExists(AccountsError):
    """The model has a price row of that date; rows are not rewritten."""

    status = 409
    code = "price_exists"


class ExportsBusy(AccountsError):
    """As many exports run as this process or this user may have at once; one that ends makes room."""

    status = 503
    code = "exports_busy"


class KeyNotInForce(AccountsError):
    """A key that is at its end, or frozen, is neither changed nor rotated."""

    status = 409
    code = "key_not_in_force"


class KeyRevoked(KeyNotInForce):
    """The key is revoked, for good."""

    code = "key_revoked"


class KeyExpired(KeyNotInForce):
    """The key has expired, for good."""

    code = "key_expired"


class KeyReplaced(KeyNotInForce):
    """The key was rotated already; the one that replaced it can be changed and rotated."""

    code = "key_replaced"


class KeyFrozen(KeyNotInForce):
    """An administrator froze the key; only an administrator lets it go."""

    code = "key_frozen"


class TooManyKeys(AccountsError):
    """The user has as many keys in force as the configuration allows."""

    status = 409
    code = "too_many_keys"


class AutoTopupIncomplete(AccountsError):
    """Auto top-up cannot be switched on: there is no saved card, or it is not said when and how much."""

    status = 409
    code = "auto_topup_incomplete"


class EventNotFound(AccountsError):
    """There is no such event, or it was thrown away since."""

    status = 404
    code = "event_not_found"
