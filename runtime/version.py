"""Which version of Farebox this is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def farebox_version() -> str:
    """`unknown` where it runs from a folder and was not installed."""
    try:
        return version("farebox")
    except PackageNotFoundError:
        return "unknown"
