import asyncio

import pytest

from eef_framework.records import Task, Trajectory
from eef_framework.rollout import demonstrations, expert_id
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert


def demonstrate(tasks: list[Task] | None = None, seed: int = 0, **settings) -> list[Trajectory]:
    environment = Corridor(tasks_per_split=60)

    async def collect() -> list[Trajectory]:
        played = environment.tasks("train") if tasks is None else tasks
        return [
            trajectory async for trajectory in demonstrations(CorridorExpert(**settings), environment, played, seed)
        ]

    return asyncio.run(collect())


def test_it_succeeds_about_as_often_as_its_default_promises():
    share = sum(trajectory.reward == 1.0 for trajectory in demonstrate()) / 60
    assert 0.3 <= share <= 0.6


@pytest.mark.parametrize(("skill", "reward"), [(1.0, 60), (0.0, 0)])
def test_skill_is_the_chance_of_the_right_action(skill, reward):
    assert sum(trajectory.reward == 1.0 for trajectory in demonstrate(skill=skill)) == reward


def test_a_demonstration_depends_on_its_task_and_the_seed_alone():
    everything = demonstrate()
    assert demonstrate([everything[7].task]) == [everything[7]]
    assert demonstrate([everything[7].task], seed=1)[0].actions != everything[7].actions


def test_trajectories_are_named_as_the_contract_says():
    trajectory = demonstrate()[0]
    assert trajectory.id == expert_id("corridor-expert", trajectory.task)
    assert trajectory.actor == "expert/corridor-expert"


def test_endings_are_reported_apart():
    endings = {trajectory.ending for trajectory in demonstrate()}
    assert {"terminated", "truncated"} <= endings
    (brief,) = demonstrate([demonstrate()[1].task], max_steps=1)
    assert (brief.ending, len(brief.steps), brief.reward) == ("gave-up", 1, 0.0)
