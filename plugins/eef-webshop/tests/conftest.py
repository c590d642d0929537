from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from eef_webshop.generated.shop import Shop

from eef_framework.interfaces import Expert
from eef_framework.records import Task, Trajectory
from eef_framework.rollout import demonstrations


@pytest.fixture(scope="session")
def shop() -> Shop:
    return Shop()


@pytest.fixture(scope="session")
def text_shop() -> Shop:
    return Shop(mode="text")


class Demonstrations:
    def __call__(self, expert: Expert, shop: Shop, tasks: Sequence[Task], seed: int = 0) -> list[Trajectory]:
        async def collect() -> list[Trajectory]:
            return [trajectory async for trajectory in demonstrations(expert, shop, tasks, seed)]

        return asyncio.run(collect())


@pytest.fixture(scope="session")
def demonstrate() -> Demonstrations:
    return Demonstrations()
