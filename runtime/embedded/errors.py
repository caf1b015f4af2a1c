"""The one error of this package."""


class EmbeddedServerError(Exception):
    """An embedded server cannot be used. The message is for people: what is wrong, and what to do."""
