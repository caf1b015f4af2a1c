"""One rig for all tests of a module, on one loop: what is expensive to start is started once for each worker."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.chaos.rig import Rig, make_rig
from tests.support.chaos.schedule import Topology


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    async with make_rig(Topology()) as rig:
        yield rig
