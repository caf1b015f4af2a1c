"""The one error of this package."""


class ReconcileError(Exception):
    """Nothing can be compared: what is missing, in words for an operator."""
