"""What the ledger process does beside posting: the account side's periodic work, each with its name."""

from collections.abc import Mapping

from proxy.backends import Backends
from runtime.periodic import Job
from runtime.settings import Config


def background_jobs(config: Config, backends: Backends) -> Mapping[str, Job]:
    """Any number of ledger processes may run them at once: each takes its rows under a lock."""
    return {}
