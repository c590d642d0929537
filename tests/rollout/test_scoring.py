"""Attributors ask for the agent's log-probabilities of actions."""

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import AnswerFailure, AttributorFailure, EefError, PolicyFailure
from eef_framework.interfaces import Attributor, PlayEpisode, Policy, Sampling, Simulate
from eef_framework.pipeline.attribution import try_to_attribute
from eef_framework.records import Response, State, SuccessRule, Trajectory
from eef_framework.rollout import EpisodeRunner, RecordedSimulations, Simulator, demonstrations
from eef_framework.rollout.resubmission import Resubmission
from eef_framework.rollout.simulate import TrajectorySimulate
from eef_framework.runs import JsonlFile
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.lookup import LoadedLookup
from eef_framework.testing.queue_policy import ScriptedPolicy

CORRIDOR = Corridor()
RULE = SuccessRule()


@pytest.fixture(scope="module")
def source() -> Trajectory:
    async def first() -> Trajectory:
        async for trajectory in demonstrations(CorridorExpert(skill=1.0), CORRIDOR, CORRIDOR.tasks("train"), 0):
            if len(trajectory.steps) > 3:
                return trajectory
        raise AssertionError

    return asyncio.run(first())


@pytest.fixture
def rows(tmp_path: Path) -> Any:
    with JsonlFile(tmp_path / "s.jsonl", Trajectory) as rows:
        yield rows


def runner(policy: Policy) -> EpisodeRunner:
    return EpisodeRunner(CORRIDOR, policy, "agent/test", ChatFormat(history=1), Sampling())


def simulate(source: Trajectory, rows: JsonlFile[Trajectory], play: PlayEpisode) -> TrajectorySimulate:
    return TrajectorySimulate(Simulator(play, rows, "eef/1", 5, RULE), source)


def cloned(source: Trajectory, state: int, share: float) -> LoadedLookup:
    """Return a policy that takes the expert's action in a state with this probability, and `look` otherwise."""
    seen, action = source.observation(state), source.actions[state]
    text = ChatFormat(history=1).conversation(CORRIDOR.instructions, seen, ())[-1].content
    weights = {f"Action: {action}": share, "Action: look": 1 - share}
    return LoadedLookup(table={text: weights}, epsilon=0.0, template="Action: {action}")


def test_actions_are_scored_in_their_state(source: Trajectory, rows: JsonlFile[Trajectory]) -> None:
    scoring = simulate(source, rows, runner(cloned(source, 2, 0.75)))
    found = asyncio.run(scoring.score(2, [source.actions[2], "look", "fly"]))
    assert [answer.text for answer in found] == [f"Action: {source.actions[2]}", "Action: look", "Action: fly"]
    assert [answer.logprob for answer in found] == pytest.approx([math.log(0.75), math.log(0.25), -math.inf])
    assert not rows.rows  # no episode was played
    assert scoring.probes == ()


def test_a_thought_is_part_of_the_answer(source: Trajectory, rows: JsonlFile[Trajectory]) -> None:
    scoring = simulate(source, rows, runner(cloned(source, 2, 0.75)))
    (answer,) = asyncio.run(scoring.score(2, ["look"], thought="Where am I?"))
    assert answer.text == "Thought: Where am I?\nAction: look"


def test_states_that_have_not_been_visited_are_reached_by_replay(
    source: Trajectory, rows: JsonlFile[Trajectory]
) -> None:
    state = source.at(0).after(*source.actions[:2])  # the same state, with unknown observations
    scoring = simulate(source, rows, runner(cloned(source, 2, 0.75)))
    (answer,) = asyncio.run(scoring.score(state, [source.actions[2]]))
    assert answer.logprob == pytest.approx(math.log(0.75))
    (first,) = asyncio.run(
        simulate(source, rows, runner(cloned(source, 0, 0.5))).score(State(task=source.task), [source.actions[0]])
    )
    assert first.logprob == pytest.approx(math.log(0.5))


def test_the_last_state_has_no_answers(source: Trajectory, rows: JsonlFile[Trajectory]) -> None:
    with pytest.raises(IndexError):
        asyncio.run(simulate(source, rows, runner(cloned(source, 2, 0.75))).score(len(source.steps), ["look"]))


def test_executors_pass_requests_on(source: Trajectory, rows: JsonlFile[Trajectory]) -> None:
    play = Resubmission(runner(cloned(source, 2, 0.75)), "threads")
    (answer,) = asyncio.run(simulate(source, rows, play).score(2, ["look"]))
    assert answer.logprob == pytest.approx(math.log(0.25))


class LosesAnswers(ScriptedPolicy):
    """Fails to score."""

    async def score(self, *_: object) -> Sequence[Response]:
        raise AnswerFailure("lost")


def test_what_cannot_be_scored_is_an_error_with_a_code(source: Trajectory, rows: JsonlFile[Trajectory]) -> None:
    def code(scoring: TrajectorySimulate) -> str:
        with pytest.raises(EefError) as caught:
            asyncio.run(scoring.score(1, ["look"]))
        return caught.value.code

    recorded = TrajectorySimulate(RecordedSimulations([], RULE), source)
    elsewhere = Resubmission(runner(ScriptedPolicy()).play, "processes")
    assert code(simulate(source, rows, runner(ScriptedPolicy()))) == "scoring-unsupported"
    assert code(simulate(source, rows, elsewhere)) == "scoring-unsupported"
    assert code(recorded) == "scoring-needs-agent"
    assert code(simulate(source, rows, runner(LosesAnswers()))) == "score-lost"


def test_a_lost_score_affects_one_trajectory_only(source: Trajectory, rows: JsonlFile[Trajectory]) -> None:
    with pytest.raises(AttributorFailure):
        asyncio.run(simulate(source, rows, runner(LosesAnswers())).score(1, ["look"]))


def test_an_attributor_that_needs_scores_is_named_with_the_policy_that_has_none(
    source: Trajectory, rows: JsonlFile[Trajectory]
) -> None:
    class Scoring(Attributor):
        name = "scoring"

        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Any]:
            await simulate.score(0, trajectory.actions[:1])
            return []

    simulator = Simulator(runner(ScriptedPolicy()), rows, "eef/1", 5, RULE)
    with pytest.raises(PolicyFailure) as caught:
        asyncio.run(try_to_attribute(Scoring(), source, simulator, []))
    assert caught.value.code == "scoring-unsupported"
    assert caught.value.details == {"policy": "scripted", "attributor": "scoring"}
    assert "'scoring'" in caught.value.message
