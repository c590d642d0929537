from __future__ import annotations

import pytest

from eef_framework.errors import EefError
from eef_framework.evaluation.evaluate import difference_of, evaluation_of, outcomes
from eef_framework.records import Observation, Response, Step, SuccessRule, Task, Trajectory

RULE = SuccessRule(threshold=1.0)


def _step(valid=True, parsed=True, words=True):
    response = Response(text="Action: look", parsed=parsed) if words else None
    return Step(action="look", observation=Observation(text="a room"), valid=valid, response=response)


def _episode(task, reward, steps=(), kind="", ending="terminated"):
    return Trajectory(
        id=f"t/{task}",
        task=Task(id=task, environment="rooms", kind=kind),
        actor="agent",
        initial=Observation(text="a room"),
        steps=tuple(steps),
        reward=reward,
        ending=ending,
    )


def test_an_evaluation_counts_successes_rewards_and_steps():
    episodes = [_episode("a", 1.0, [_step()]), _episode("b", 0.5, [_step()] * 3), _episode("c", 0.0, [_step()] * 2)]
    evaluation = evaluation_of("eef-2", episodes, RULE, "test")
    assert (evaluation.name, evaluation.split, evaluation.episodes, evaluation.threshold) == ("eef-2", "test", 3, 1.0)
    assert evaluation.success.mean == pytest.approx(1 / 3)
    assert evaluation.reward.mean == pytest.approx(0.5)
    assert evaluation.steps.mean == 2


def test_the_threshold_decides_what_a_success_is():
    episodes = [_episode("a", 0.7), _episode("b", 0.69)]
    assert evaluation_of("x", episodes, SuccessRule(threshold=0.7), "dev").success.mean == 0.5
    assert evaluation_of("x", episodes, RULE, "dev").success.mean == 0


def test_a_lost_episode_is_a_failure_with_reward_0_and_is_counted():
    evaluation = evaluation_of("x", [_episode("a", 1.0), _episode("b", 1.0, ending="error")], RULE, "test")
    assert evaluation.errors == 1
    assert evaluation.success.mean == 0.5
    assert evaluation.reward.mean == 0.5


def test_success_is_split_by_kind_of_task_and_tasks_without_a_kind_are_left_out():
    episodes = [_episode("a", 1.0, kind="easy"), _episode("b", 0.0, kind="easy"), _episode("c", 0.0, kind="hard")]
    evaluation = evaluation_of("x", [*episodes, _episode("d", 1.0)], RULE, "test")
    assert {kind: (e.mean, e.n) for kind, e in evaluation.by_kind.items()} == {"easy": (0.5, 2), "hard": (0.0, 1)}


def test_invalid_steps_are_a_share_of_steps_and_unparsed_turns_a_share_of_turns():
    steps = [_step(valid=False), _step(parsed=False), _step(words=False), _step(words=False)]
    evaluation = evaluation_of("x", [_episode("a", 0.0, steps)], RULE, "test")
    assert evaluation.invalid_rate == 0.25
    assert evaluation.unparsed_rate == 0.5


def test_no_episodes_evaluate_to_empty_estimates():
    evaluation = evaluation_of("x", [], RULE, "test")
    assert (evaluation.success.n, evaluation.invalid_rate, evaluation.by_kind) == (0, 0.0, {})


def test_a_difference_pairs_episodes_by_task():
    first = [_episode("a", 1.0), _episode("b", 1.0)]
    second = [_episode("b", 1.0), _episode("a", 0.0)]
    difference = difference_of("eef 1 - rft 1", first, second, RULE)
    assert difference.label == "eef 1 - rft 1"
    assert difference.success.mean == 0.5
    assert difference.success.n == 2


def test_a_task_played_twice_is_refused():
    with pytest.raises(EefError, match="task 'a' was played more than once"):
        outcomes([_episode("a", 1.0), _episode("a", 0.0)], RULE)
