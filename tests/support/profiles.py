"""How many examples Hypothesis tries: the same each time by default, many new ones with HYPOTHESIS_PROFILE=deep."""

import os

from hypothesis import HealthCheck, settings

# A failure of the deep run prints how to repeat it; nothing is kept in a database that others do not have.
settings.register_profile(
    "default",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("deep", settings.get_profile("default"), derandomize=False, max_examples=5_000)


def load_profile() -> None:
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
