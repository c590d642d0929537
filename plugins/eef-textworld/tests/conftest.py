from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from eef_textworld.environment import TextWorld

from eef_framework.interfaces import Environment, Expert
from eef_framework.records import Task, Trajectory
from eef_framework.rollout import demonstrations


@pytest.fixture(scope="session")
def textworld() -> Iterator[TextWorld]:
    with TextWorld() as environment:
        yield environment


@pytest.fixture(scope="session")
def small() -> Iterator[TextWorld]:
    # Games that take little time to make.
    with TextWorld(rooms=2, objects=3, shortest=2, longest=3) as environment:
        yield environment


class Demonstrations:
    def __call__(
        self, expert: Expert, environment: Environment, tasks: Sequence[Task], seed: int = 0
    ) -> list[Trajectory]:
        async def collect() -> list[Trajectory]:
            return [trajectory async for trajectory in demonstrations(expert, environment, tasks, seed)]

        return asyncio.run(collect())


@pytest.fixture(scope="session")
def demonstrate() -> Demonstrations:
    return Demonstrations()
