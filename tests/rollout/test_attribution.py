"""What attributors are given, tried with the strategies that ask for most of it, in a world that can be worked out."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean

import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import AttributorFailure
from eef_framework.interfaces import Attributor, Sampling, Simulate
from eef_framework.records import (
    Attribution,
    Origin,
    Segment,
    StateValue,
    SuccessRule,
    Trajectory,
    Verdict,
)
from eef_framework.rollout import EpisodeRunner, RecordedSimulations, Simulator, attribute, demonstrations
from eef_framework.runs import JsonlFile
from eef_framework.testing.corridor import Corridor, best_action
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.queue_policy import ScriptedPolicy

RULE = SuccessRule()


class MonteCarlo(Attributor):
    """The value after the expert's action less the value after the agent's own, at every state (arXiv 2406.11176)."""

    n: int = 4

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
        length = len(trajectory.steps)
        values = [await self.value(simulate, state) for state in range(length)]
        values.append(float(simulate.succeeded(trajectory)))
        credits = [values[k + 1] - await self.own(simulate, k) for k in range(length)]
        return [Segment(start=k, end=k + 1, verdict=verdict(c), credit=c) for k, c in enumerate(credits)]

    async def value(self, simulate: Simulate, state: int) -> float:
        return mean(map(simulate.succeeded, await simulate(state, self.n)))

    async def own(self, simulate: Simulate, state: int) -> float:
        outcomes: list[bool] = []
        for run in await simulate(state, self.n):
            after = run.at(state + 1)  # the agent's own action, in place of the expert's
            over = after.steps[-1].done
            outcomes += [simulate.succeeded(run)] if over else map(simulate.succeeded, await simulate(after))
        return mean(outcomes)


class Substitute(Attributor):
    """An action of a failed episode did harm if another one in its place leads to success (arXiv 2602.03412)."""

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
        found = []
        for k, step in enumerate(trajectory.steps):
            better = best_action(trajectory.observation(k).text)
            if better != step.action:
                runs = await simulate(trajectory.at(k).after(better))
                if any(map(simulate.succeeded, runs)):
                    found.append(Segment(start=k, end=k + 1, verdict=Verdict.HARMFUL))
        return found


class Anchor(Attributor):
    """A state is worth the mean outcome of all recorded episodes that came by (arXiv 2505.10978)."""

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment | StateValue]:
        outcomes: dict[str, list[bool]] = defaultdict(list)
        for episode in await simulate.episodes():
            for text in {episode.observation(k).text for k in range(len(episode.steps) + 1)}:
                outcomes[text].append(simulate.succeeded(episode))
        visits = [outcomes[trajectory.observation(k).text] for k in range(len(trajectory.steps) + 1)]
        values = [mean(each) for each in visits]
        segments = [
            Segment(start=k, end=k + 1, verdict=verdict(after - before), credit=after - before)
            for k, (before, after) in enumerate(pairwise(values))
        ]
        return [
            *segments,
            *(StateValue(state=k, mean=v, low=0, high=1, n=len(visits[k])) for k, v in enumerate(values)),
        ]


def verdict(gain: float) -> Verdict:
    return Verdict.BENEFICIAL if gain > 0 else Verdict.HARMFUL if gain < 0 else Verdict.NEUTRAL


class World:
    """A corridor, demonstrations of its tasks, and an agent that can be simulated."""

    def __init__(self, rows: JsonlFile[Trajectory], skill: float = 0.8) -> None:
        self.corridor = Corridor()
        self.tasks = self.corridor.tasks("train")[:12]
        self.demonstrations = asyncio.run(self.demonstrate())
        runner = EpisodeRunner(self.corridor, ScriptedPolicy(skill=skill), "agent/test", ChatFormat(), Sampling())
        self.simulator = Simulator(
            runner.play, rows, "eef/1", 5, RULE, demonstrations=self.demonstrations, initial_simulations=3
        )

    async def demonstrate(self) -> list[Trajectory]:
        return [each async for each in demonstrations(CorridorExpert(), self.corridor, self.tasks, 0)]

    def attribute(self, attributor: Attributor, trajectories: Sequence[Trajectory]) -> list[Attribution]:
        async def all_of_them() -> list[Attribution]:
            return await asyncio.gather(*(attribute(attributor, each, self.simulator) for each in trajectories))

        return asyncio.run(all_of_them())

    def agent_failures(self) -> list[Trajectory]:
        async def played() -> list[Trajectory]:
            found = await asyncio.gather(*(self.simulator.initial(task, 3) for task in self.tasks))
            return [run for runs in found for run in runs if not RULE.holds(run)]

        return asyncio.run(played())


@pytest.fixture
def rows(tmp_path: Path):
    with JsonlFile(tmp_path / "simulations.jsonl", Trajectory) as rows:
        yield rows


def test_a_strategy_can_simulate_after_the_agents_own_action_at_an_experts_state(rows):
    world, left = World(rows), []
    for attribution, source in zip(
        world.attribute(MonteCarlo(), world.demonstrations), world.demonstrations, strict=True
    ):
        assert [segment.start for segment in attribution.segments] == list(range(len(source.steps)))
        own = [probe for probe in attribution.probes if probe.trajectory]
        assert all(probe.trajectory.startswith("eef/1/") for probe in own)
        if source.steps[-1].terminated and not RULE.holds(source):  # it left the corridor, which can't be won then
            left.append(attribution.segments[-1].credit)
    assert left
    assert all(credit <= 0 for credit in left)
    assert min(left) < 0


def test_a_strategy_can_try_other_actions_in_the_agents_failures(rows):
    world = World(rows)
    failures = world.agent_failures()
    assert failures
    found = world.attribute(Substitute(), failures)
    harmful = [segment for attribution in found for segment in attribution.segments]
    assert harmful
    assert all(segment.verdict is Verdict.HARMFUL for segment in harmful)
    tried = [probe for attribution in found for probe in attribution.probes]
    assert all(len(probe.inserted) == 1 for probe in tried)
    by_id = {row.id: row for row in rows.rows}
    for probe in tried:
        for run in (by_id[name] for name in probe.simulations):
            assert run.origin == Origin(trajectory=run.origin.trajectory, state=probe.state, inserted=1)
            assert run.actions[probe.state - 1] == probe.inserted[0]
            assert run.steps[probe.state - 1].response is None  # not the agent's own action


def test_a_strategy_can_look_at_all_recorded_episodes_of_a_task(rows):
    world = World(rows)
    for attribution, source in zip(world.attribute(Anchor(), world.demonstrations), world.demonstrations, strict=True):
        assert [value.state for value in attribution.values] == list(range(len(source.steps) + 1))
        assert attribution.values[0].n == 1 + 3  # everybody starts there
        assert attribution.probes == ()


@pytest.mark.parametrize("attributor", [MonteCarlo(), Anchor()])
def test_recorded_simulations_give_the_same_attributions_as_playing(rows, attributor):
    world = World(rows)
    played = world.attribute(attributor, world.demonstrations)
    recorded = RecordedSimulations(rows.rows, RULE, world.demonstrations)

    async def again() -> list[Attribution]:
        return [await attribute(attributor, each, recorded) for each in world.demonstrations]

    assert asyncio.run(again()) == played


def test_recorded_simulations_from_other_actions_are_found_again(rows):
    world = World(rows)
    failures = world.agent_failures()
    played = world.attribute(Substitute(), failures)
    recorded = RecordedSimulations(rows.rows, RULE)

    async def again() -> list[Attribution]:
        return [await attribute(Substitute(), each, recorded) for each in failures]

    assert asyncio.run(again()) == played


def test_simulations_that_were_not_recorded_are_an_error_with_the_state(rows):
    world = World(rows)
    source = next(each for each in world.demonstrations if len(each.steps) > 2)
    with pytest.raises(AttributorFailure) as caught:
        asyncio.run(RecordedSimulations([], RULE).simulate(source.at(2), 3))
    assert caught.value.code == "simulations-missing"
    assert caught.value.details == {"trajectory": source.id, "state": 2, "needed": 3, "recorded": 0}


def test_who_stops_waiting_for_a_simulation_does_not_take_it_from_others(rows):
    world = World(rows)
    source = next(each for each in world.demonstrations if len(each.steps) > 2)

    async def impatient_and_patient() -> Sequence[Trajectory]:
        impatient = asyncio.create_task(world.simulator.simulate(source.at(1), 1))
        patient = asyncio.create_task(world.simulator.simulate(source.at(1), 1))
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    assert len(asyncio.run(impatient_and_patient())) == 1
