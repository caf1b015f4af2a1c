"""How long it takes to try prices on a million requests of a thousand users.

    python -m benchmarks.price_trial [--rows 1000000]

Makes a scratch Postgres (fsync off) and fills it as benchmarks/usage_statistics.py does; prints milliseconds.
"""

import asyncio
from datetime import UTC, datetime

import click

from accounts.price_trial import Trial, each_user_and_model, try_prices
from accounts.rates import Rates
from benchmarks.usage_statistics import fill, scratch_database, timed

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
# Every kind has a price of its own: the most arithmetic there is.
FULL = Rates(1_234_567, 2_345_679, 123_457, 234_567, 3_456_789, 4_567_891, 5_678_912, 6_789_123, 7_891_234, 13)


async def measure(rows: int) -> None:
    async with scratch_database() as pool:
        await fill(pool, rows)
        trial = Trial(LONG_AGO, None, {f"model-{number}": FULL for number in range(8)})

        async def csv() -> None:
            async for _ in each_user_and_model(pool, trial):
                pass

        click.echo(f"{rows} requests\n{'':<42}{'median':>8} {'worst':>8}  ms")
        click.echo(f"{'by model and by user':<42}{await timed(lambda: try_prices(pool, trial))}")
        click.echo(f"{'every user and model':<42}{await timed(csv)}")


@click.command()
@click.option("--rows", default=1_000_000, show_default=True)
def main(rows: int) -> None:
    asyncio.run(measure(rows))


if __name__ == "__main__":
    main()
