"""Pairs of what the expert and the agent did in the same state, by verdicts."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.chat.format import ChatFormat
from eef_framework.config.schema import Select
from eef_framework.pipeline.pairs import Pair, pair_examples, pairs
from eef_framework.pipeline.solutions import Exploration
from eef_framework.pipeline.step_pairs import step_pairs
from eef_framework.records import (
    Attribution,
    Observation,
    Origin,
    Response,
    Segment,
    Step,
    SuccessRule,
    Task,
    Trajectory,
)


def episode(name: str, actions: str, reward: float = 0.0, **fields: Any) -> Trajectory:
    """Return an episode with an action for each letter."""
    steps = tuple(Step(action=action, observation=Observation(text=f"after {action}")) for action in actions)
    where, start = Task(id="t", environment="e"), Observation(text="start")
    return Trajectory(id=name, task=where, actor="x", initial=start, steps=steps, reward=reward, **fields)


def simulation(name: str, actions: str, state: int, reward: float = 0.0, **fields: Any) -> Trajectory:
    return episode(name, actions, reward, origin=Origin(trajectory="expert", state=state), **fields)


def paired(
    expert: Trajectory, played: list[Trajectory], *segments: tuple[int, int, str], seed: int = 0, **settings: Any
) -> list[Pair]:
    judged = Attribution(
        trajectory=expert.id,
        length=len(expert.steps),
        segments=tuple(Segment(start=start, end=end, verdict=verdict) for start, end, verdict in segments),
    )
    explored = Exploration(played, {expert.id: judged})
    return step_pairs([expert], [explored], Select(step_pairs=True, **settings), SuccessRule(), seed)


def shown(pairs: list[Pair]) -> list[tuple[str, str, int, int | None, int | None]]:
    return [(p.preferred.id, p.rejected.id, p.start, p.preferred_end, p.rejected_end) for p in pairs]


def test_a_beneficial_action_is_preferred_to_what_the_agent_did_and_failed_with() -> None:
    played = [simulation("failed", "axx", 1), simulation("solved", "ay", 1, 1.0)]
    assert shown(paired(episode("expert", "abc", 1.0), played, (1, 2, "beneficial"))) == [
        ("expert", "failed", 1, None, None)
    ]
    # The rest of a failed demonstration isn't worth preferring.
    assert shown(paired(episode("expert", "abc", 0.0), played, (1, 2, "beneficial"))) == [
        ("expert", "failed", 1, 2, None)
    ]


def test_what_the_agent_solved_is_preferred_to_a_harmful_action() -> None:
    played = [simulation("failed", "axx", 1), simulation("solved", "ay", 1, 1.0)]
    assert shown(paired(episode("expert", "abc", 0.0), played, (1, 2, "harmful"))) == [
        ("solved", "expert", 1, None, None)
    ]
    # The rest of a success isn't worth rejecting.
    assert shown(paired(episode("expert", "abc", 1.0), played, (1, 2, "harmful"))) == [("solved", "expert", 1, None, 2)]


@pytest.mark.parametrize("verdict", ["neutral", "unknown"])
def test_other_verdicts_make_no_pair(verdict: str) -> None:
    played = [simulation("failed", "axx", 1), simulation("solved", "ay", 1, 1.0)]
    assert paired(episode("expert", "abc"), played, (1, 2, verdict)) == []


def test_a_pair_starts_where_both_differ_within_the_segment() -> None:
    expert = episode("expert", "abcd", 1.0)
    assert shown(paired(expert, [simulation("failed", "abx", 0)], (0, 4, "beneficial"))) == [
        ("expert", "failed", 2, None, None)
    ]
    assert paired(expert, [simulation("failed", "abx", 0)], (0, 2, "beneficial")) == []
    assert paired(expert, [simulation("failed", "ab", 0)], (0, 4, "beneficial")) == []


@pytest.mark.parametrize(
    "other",
    [
        simulation("elsewhere", "abx", 2),
        simulation("lost", "ax", 1, ending="error"),
        episode("inserted", "ax", origin=Origin(trajectory="expert", state=1, inserted=1)),
        episode("of another", "ax", origin=Origin(trajectory="other", state=1)),
        episode("from the start", "ax"),
    ],
    ids=lambda each: each.id,
)
def test_only_simulations_from_the_state_before_the_segment_count(other: Trajectory) -> None:
    assert paired(episode("expert", "abc", 1.0), [other], (1, 2, "beneficial")) == []


def test_episodes_from_the_start_count_for_the_first_segment() -> None:
    found = paired(episode("expert", "abc", 1.0), [episode("agent", "xb")], (0, 1, "beneficial"))
    assert shown(found) == [("expert", "agent", 0, None, None)]


def test_an_answer_without_an_action_makes_no_pair() -> None:
    agent = episode("agent", "x")
    unparsed = agent.steps[0].changed(response=Response(text="hm", parsed=False))
    played = [agent.changed(steps=(unparsed,))]
    assert paired(episode("expert", "abc", 1.0), played, (0, 1, "beneficial")) == []


def test_more_pairs_of_a_verdict_are_kept_where_that_is_set_and_the_seed_chooses() -> None:
    played = [simulation(f"failed {n}", f"a{n}", 1) for n in range(6)]
    expert = episode("expert", "abc", 1.0)
    assert len(paired(expert, played, (1, 2, "beneficial"), solutions_per_state=4)) == 4
    found = {seed: shown(paired(expert, played, (1, 2, "beneficial"), seed=seed)) for seed in range(8)}
    assert len({tuple(each) for each in found.values()}) > 1
    assert all(shown(paired(expert, played[::-1], (1, 2, "beneficial"), seed=seed)) == found[seed] for seed in found)


def test_only_the_turns_of_the_pair_get_loss() -> None:
    pair = Pair(episode("expert", "abcd"), simulation("failed", "abxyz", 1), 2, preferred_end=3, of_actions=True)
    (example,) = pair_examples([pair], ChatFormat(style="action"), "Do it.")
    assert [(m.content, m.weight) for m in example.messages if m.role == "assistant"] == [("a", 0), ("b", 0), ("c", 1)]
    assert [(m.content, m.weight) for m in example.rejected if m.role == "assistant"] == [
        ("a", 0),
        ("b", 0),
        ("x", 1),
        ("y", 1),
        ("z", 1),
    ]
    assert (example.states, example.id) == ((2,), "expert#pair@2#failed")


def test_two_attempts_that_differ_from_the_start_are_a_pair_of_each_kind() -> None:
    expert, failed = episode("expert", "abc", 1.0), episode("failed", "xyz")
    of_actions = paired(expert, [failed], (0, 1, "beneficial"))
    whole = pairs([expert], [Exploration([failed], {})], Select(pairs=True, step_pairs=True), 0)
    examples = pair_examples([*whole, *of_actions], ChatFormat(style="action"), "")
    assert [example.id for example in examples] == ["expert#pair#failed", "expert#pair@0#failed"]


def test_without_the_whole_episode_each_side_is_one_turn_after_the_same_prompt() -> None:
    pair = Pair(episode("expert", "abcd", 1.0), simulation("failed", "abxyz", 1), 2)
    (example,) = pair_examples([pair], ChatFormat(style="action", history=1), "")
    assert [m.content for m in example.messages] == ["after b", "c"]
    assert [m.content for m in example.rejected] == ["after b", "x"]


letters = st.text("ab", min_size=1, max_size=5)


@given(letters, st.booleans(), st.lists(st.tuples(letters, st.integers(0, 4), st.booleans()), max_size=8), st.data())
def test_sides_share_their_beginning_and_differ_where_the_pair_starts(
    actions: str, success: bool, played: list[tuple[str, int, bool]], data: Any
) -> None:
    expert = episode("expert", actions, float(success))
    simulations = [
        simulation(f"s{n}", actions[:state] + rest, min(state, len(actions)), float(solved))
        for n, (rest, state, solved) in enumerate(played)
    ]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(actions)), min_size=2, max_size=4)) | {0})
    verdicts = st.sampled_from(["beneficial", "harmful", "neutral"])
    segments = [(start, end, data.draw(verdicts)) for start, end in pairwise(cuts)]
    for pair in paired(expert, simulations, *segments, solutions_per_state=9):
        sides = pair.preferred, pair.rejected
        assert expert in sides
        assert [step.action for step in sides[0].steps[: pair.start]] == [
            step.action for step in sides[1].steps[: pair.start]
        ]
        assert sides[0].steps[pair.start].action != sides[1].steps[pair.start].action
        (verdict,) = [verdict for start, end, verdict in segments if start <= pair.start < end]
        assert (verdict == "beneficial") == (pair.preferred is expert)
        # A side that goes on to the end has the outcome that it stands for.
        assert pair.preferred_end is not None or pair.preferred.reward == 1.0
        assert pair.rejected_end is not None or pair.rejected.reward == 0.0
