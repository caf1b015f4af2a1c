"""What every process measures."""

import asyncio
import os
from contextlib import suppress

from runtime.metrics import common
from runtime.metrics.book import Book
from tests.support.asking import begin
from tests.support.waiting import until


def test_a_process_is_looked_at() -> None:
    book = Book(common.COMMON)
    book.looks.append(common.process_look())
    first = book.snapshot(1).values
    sum(range(300_000))
    second = book.snapshot(2).values
    assert first["process_resident_memory_bytes"][()] > 1 << 20
    assert first["process_open_fds"][()] >= 3
    assert first["farebox_workers"] == {(): 1}
    spent_us = os.times().user * 1_000_000
    assert 0 < first["process_cpu_seconds_total"][()] <= second["process_cpu_seconds_total"][()]
    assert second["process_cpu_seconds_total"][()] - common.CPU.values[()] <= spent_us


def test_names_are_prometheus_own_way_and_no_two_are_the_same() -> None:
    names = [metric.name for metric in common.COMMON]
    assert len(set(names)) == len(names)


async def test_a_loop_that_is_busy_is_late() -> None:
    row = common.LOOP_LAG.row(())
    before = sum(row[:-1])
    watching = begin(common.watch_loop(0.001))
    await until(lambda: sum(row[:-1]) >= before + 3)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
