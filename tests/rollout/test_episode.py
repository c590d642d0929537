import asyncio
from pathlib import Path
from typing import ClassVar

import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import AnswerFailure, ConfigError, EefError, PolicyFailure
from eef_framework.interfaces import Environment, EpisodeSpec, Policy, Sampling
from eef_framework.records import Conversation, Observation, Response, State, Trajectory
from eef_framework.rollout import EpisodeRunner, demonstrations
from eef_framework.testing.corridor import BlockingCorridor, Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.lookup import LookupPolicy
from eef_framework.testing.queue_policy import QueuePolicy, ScriptedPolicy


def runner(environment: Environment, policy: Policy, **settings: object) -> EpisodeRunner:
    return EpisodeRunner(environment, policy, "agent/test", ChatFormat(), Sampling(), **settings)  # type: ignore[arg-type]


def spec(start: State, id: str = "x") -> EpisodeSpec:
    return EpisodeSpec(id=id, start=start, seed=1)


def played(environment: Environment, policy: Policy, **settings: object) -> Trajectory:
    task = environment.tasks("train")[0]
    return asyncio.run(runner(environment, policy, **settings).play(spec(State(task=task))))


def demonstration(corridor: Corridor) -> Trajectory:
    async def first() -> Trajectory:
        async for trajectory in demonstrations(CorridorExpert(skill=1.0), corridor, corridor.tasks("train"), 0):
            if len(trajectory.steps) > 3:
                return trajectory
        raise AssertionError

    return asyncio.run(first())


def test_an_episode_records_every_turn_with_its_answer() -> None:
    trajectory = played(Corridor(), ScriptedPolicy(skill=1.0))
    assert (trajectory.reward, trajectory.ending, trajectory.origin) == (1.0, "terminated", None)
    assert all(step.response and step.response.text == f"Action: {step.action}" for step in trajectory.steps)


def test_a_simulation_begins_with_the_replayed_actions_and_goes_on_from_there() -> None:
    corridor = Corridor()
    source = demonstration(corridor)
    trajectory = asyncio.run(runner(corridor, ScriptedPolicy(skill=1.0)).play(spec(source.at(2))))
    assert trajectory.steps[:2] == source.steps[:2]
    assert trajectory.origin is not None
    assert (trajectory.prefix_length, trajectory.reward) == (2, 1.0)
    assert all(step.response for step in trajectory.steps[2:])


def test_a_policy_is_shown_the_replayed_turns_as_its_own() -> None:
    corridor = Corridor()
    source = demonstration(corridor)
    policy = QueuePolicy(answers=("Action: go[west]",) * 20)
    asyncio.run(runner(corridor, policy).play(spec(source.at(2))))
    said = [message.content for message in policy.asked[0] if message.role == "assistant"]
    assert said == [f"Action: {action}" for action in source.actions[:2]]


@pytest.mark.parametrize(("fault", "code"), [("raise", "environment-failed"), ("diverge", "replay-diverged")])
def test_a_failure_of_the_environment_is_recorded_and_not_raised(fault: str, code: str) -> None:
    corridor = Corridor()
    source = demonstration(corridor)
    broken = Corridor(fault=fault)  # type: ignore[arg-type]
    trajectory = asyncio.run(runner(broken, ScriptedPolicy(skill=1.0)).play(spec(source.at(2))))
    assert trajectory.ending == "error"
    assert trajectory.info == {"error_code": code}
    assert trajectory.error


def test_a_step_that_hangs_is_given_up_after_its_time() -> None:
    trajectory = played(BlockingCorridor(fault="hang", hang_s=0.5), ScriptedPolicy(skill=1.0), step_timeout_s=0.05)
    assert trajectory.ending == "error"
    assert trajectory.info == {"error_code": "step-timeout"}


def test_the_runs_step_limit_ends_an_episode_without_reward() -> None:
    trajectory = played(Corridor(), ScriptedPolicy(skill=1.0), max_steps=1)
    assert (trajectory.ending, len(trajectory.steps), trajectory.reward) == ("step-limit", 1, 0.0)


class Mute(Policy):
    name: ClassVar[str] = "mute"

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        raise ValueError("out of words")


def test_a_policy_that_fails_stops_the_phase() -> None:
    with pytest.raises(PolicyFailure) as caught:
        played(Corridor(), Mute())
    assert caught.value.code == "policy-failed"
    assert isinstance(caught.value.__cause__, ValueError)


class Flaky(ScriptedPolicy):
    name: ClassVar[str] = "flaky"
    error: ClassVar[EefError]

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        if len(conversation) > 3:
            raise self.error
        return await super().act(conversation, observation, sampling, seed)


def test_a_lost_answer_is_its_episodes_ending() -> None:
    Flaky.error = AnswerFailure("the line broke", "Ask again.", code="cut", usd=0.25, computed_tokens=40)
    trajectory = played(Corridor(), Flaky(skill=0.0))
    assert (trajectory.ending, trajectory.reward, len(trajectory.steps)) == ("error", 0.0, 1)
    assert trajectory.error == str(Flaky.error)
    assert (trajectory.info, trajectory.lost_usd, trajectory.lost_tokens) == ({"error_code": "cut"}, 0.25, 40)


def test_a_wrong_setting_that_a_policy_finds_out_stops_the_phase() -> None:
    Flaky.error = ConfigError("no key", "Set it.")
    with pytest.raises(ConfigError) as caught:
        played(Corridor(), Flaky(skill=0.0))
    assert caught.value is Flaky.error


class Crowd(ScriptedPolicy):
    name: ClassVar[str] = "crowd"
    present: ClassVar[int] = 0
    most: ClassVar[int] = 0

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        Crowd.present += 1
        Crowd.most = max(Crowd.most, Crowd.present)
        await asyncio.sleep(0)
        Crowd.present -= 1
        return await super().act(conversation, observation, sampling, seed)


class Narrow(Corridor):
    most: int | None = None

    @property
    def max_sessions(self) -> int | None:
        return self.most


@pytest.mark.parametrize(("concurrency", "room", "most"), [(1, None, 1), (4, None, 4), (4, 3, 3), (2, 3, 2)])
def test_no_more_episodes_are_in_flight_than_allowed(concurrency: int, room: int | None, most: int) -> None:
    Crowd.most = 0
    corridor = Narrow(most=room)
    crowd = runner(corridor, Crowd(), concurrency=concurrency)

    async def everybody() -> None:
        await asyncio.gather(*(crowd.play(spec(State(task=task), task.id)) for task in corridor.tasks("train")))

    asyncio.run(everybody())
    assert Crowd.most == most


def test_a_trainable_policy_plays_with_the_weights_of_its_checkpoint(tmp_path: Path) -> None:
    policy, corridor = LookupPolicy(), Corridor()
    checkpoint = policy.initial_checkpoint([], tmp_path / "initial", 0)
    runner = EpisodeRunner(corridor, policy, "agent/test", ChatFormat(), Sampling(), checkpoint=checkpoint)
    start = spec(State(task=corridor.tasks("train")[0]))
    with runner.open() as play:
        assert asyncio.run(play(start)).ending != "error"


def test_a_trainable_policy_without_a_checkpoint_is_explained() -> None:
    runner = EpisodeRunner(Corridor(), LookupPolicy(), "agent/test", ChatFormat(), Sampling())
    with pytest.raises(PolicyFailure) as caught, runner.open():
        pass
    assert (caught.value.code, caught.value.details) == ("no-weights", {"policy": "lookup"})
