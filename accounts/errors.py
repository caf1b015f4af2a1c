"""What the control plane refuses, by whose doing it is."""


class AccountsError(Exception):
    """The request cannot be carried out; nothing was changed."""


class KeyNotFound(AccountsError):
    """There is no such key."""


class NotConfigured(AccountsError):
    """A setting that this needs is not there."""
