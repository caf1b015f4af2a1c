"""What can be wrong with a request's body."""


class BodyError(Exception):
    """The body will not be had."""


class BodyTooLarge(BodyError):
    """It has more bytes than the server takes."""


class BodyBroken(BodyError):
    """It ended early, or is not encoded as its headers say."""
