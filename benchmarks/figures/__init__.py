"""What `make bench` measures, in the order it is measured and shown in.

Memory is first: what plain requests have used and left would hide what open streams take.
"""

from benchmarks.figure import Measurement
from benchmarks.figures import (
    chunks,
    first_token,
    first_use,
    gap,
    ledger,
    many_wallets,
    memory,
    prompt_1mib,
    start,
    unary,
    workers,
    wrong_keys,
)

MEASUREMENTS: tuple[Measurement, ...] = (
    memory.MEASUREMENT,
    chunks.MEASUREMENT,
    gap.MEASUREMENT,
    unary.MEASUREMENT,
    first_token.MEASUREMENT,
    prompt_1mib.MEASUREMENT,
    ledger.MEASUREMENT,
    start.MEASUREMENT,
    first_use.MEASUREMENT,
    wrong_keys.MEASUREMENT,
    workers.MEASUREMENT,
    many_wallets.MEASUREMENT,
)
