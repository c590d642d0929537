from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.chat.format import ChatFormat
from eef_framework.config.schema import Select
from eef_framework.filters import DropUnparsed, LimitLength
from eef_framework.pipeline.pairs import Pair, pair_examples, pairs
from eef_framework.pipeline.solutions import Exploration
from eef_framework.records import Observation, Origin, Response, Step, Task, Trajectory


def episode(name: str, reward: float, task: str = "t", length: int = 2, **fields: Any) -> Trajectory:
    steps = tuple(Step(action=f"{name}{i}", observation=Observation(text=f"saw {i}")) for i in range(length))
    where, start = Task(id=task, environment="e"), Observation(text="start")
    return Trajectory(id=name, task=where, actor="x", initial=start, steps=steps, reward=reward, **fields)


def paired(
    demonstrations: list[Trajectory], *explorations: list[Trajectory], seed: int = 0, **settings: Any
) -> list[tuple[str, str]]:
    found = pairs(
        demonstrations, [Exploration(played, {}) for played in explorations], Select(pairs=True, **settings), seed
    )
    return [(pair.preferred.id, pair.rejected.id) for pair in found]


def test_the_experts_success_is_preferred_to_the_agents_failure_and_the_other_way_round() -> None:
    assert paired([episode("expert", 1.0)], [episode("agent", 0.0)]) == [("expert", "agent")]
    assert paired([episode("expert", 0.3)], [episode("agent", 0.5)]) == [("agent", "expert")]


def test_attempts_of_equal_reward_make_no_pair() -> None:
    assert paired([episode("expert", 0.5)], [episode("agent", 0.5)]) == []


def test_the_highest_reward_is_paired_with_the_lowest() -> None:
    agent = [episode("a", 0.2), episode("b", 0.0), episode("c", 1.0)]
    assert paired([episode("expert", 0.5)], agent) == [("c", "b")]


def test_more_pairs_of_a_task_are_kept_where_that_is_set_worst_first() -> None:
    agent = [episode("a", 0.2), episode("b", 0.0), episode("c", 0.1)]
    expert = [episode("expert", 1.0)]
    assert paired(expert, agent, solutions_per_state=2) == [("expert", "b"), ("expert", "c")]
    assert len(paired(expert, agent, solutions_per_state=9)) == 3


def test_several_best_attempts_take_turns() -> None:
    agent = [episode("a", 1.0), episode("b", 0.0), episode("c", 0.0)]
    found = paired([episode("expert", 1.0)], agent, solutions_per_state=2)
    assert {better for better, _ in found} == {"expert", "a"}
    assert {worse for _, worse in found} == {"b", "c"}


def test_tasks_are_apart_and_in_order() -> None:
    expert = [episode("e1", 1.0, "t1"), episode("e2", 0.0, "t2")]
    agent = [episode("a2", 1.0, "t2"), episode("a1", 0.0, "t1"), episode("a3", 1.0, "t3")]
    assert paired(expert, agent) == [("e1", "a1"), ("a2", "e2")]


@pytest.mark.parametrize(
    "fields", [{"ending": "error"}, {"origin": Origin(trajectory="expert", state=1)}, {"length": 0}]
)
def test_what_was_lost_or_did_not_start_at_the_beginning_is_not_an_attempt(fields: dict[str, Any]) -> None:
    assert paired([episode("expert", 1.0)], [episode("agent", 0.0, **fields)]) == []


def test_attempts_of_earlier_rounds_are_kept_or_dropped_as_set() -> None:
    expert, explorations = [episode("expert", 1.0)], ([episode("first", 0.0)], [episode("second", 0.5)])
    assert paired(expert, *explorations, keep="all") == [("expert", "first")]
    assert paired(expert, *explorations, keep="latest") == [("expert", "second")]


def test_ties_are_broken_by_the_seed_and_not_by_the_order() -> None:
    expert, agent = [episode("expert", 1.0)], [episode(name, 0.0) for name in "abcdefgh"]
    found = {seed: paired(expert, agent, seed=seed) for seed in range(8)}
    assert len({tuple(each) for each in found.values()}) > 1
    assert all(paired(expert, agent[::-1], seed=seed) == found[seed] for seed in found)


attempts = st.lists(
    st.tuples(
        st.sampled_from("st"),
        st.sampled_from([0.0, 0.25, 1.0]),
        st.sampled_from(["terminated", "truncated", "error"]),
        st.integers(0, 2),
        st.booleans(),
    ),
    max_size=12,
)


@given(attempts, attempts, st.integers(1, 3), st.integers(0, 3), st.sampled_from(["all", "latest"]))
def test_pairs_are_of_one_task_and_strictly_ordered(
    expert: list[Any], agent: list[Any], count: int, seed: int, keep: str
) -> None:
    def played(rows: list[Any], who: str) -> list[Trajectory]:
        return [
            episode(
                f"{who}{number}",
                reward,
                task,
                length,
                ending=ending,
                origin=Origin(trajectory="expert0", state=0) if simulated and who == "agent" else None,
            )
            for number, (task, reward, ending, length, simulated) in enumerate(rows)
        ]

    shown, explored = played(expert, "expert"), played(agent, "agent")
    found = pairs(shown, [Exploration(explored, {})], Select(pairs=True, solutions_per_state=count, keep=keep), seed)  # type: ignore[arg-type]
    usable = [t for t in shown + explored if t.origin is None and t.ending != "error" and t.steps]
    for pair in found:
        of_task = [t for t in usable if t.task.id == pair.preferred.task.id]
        assert pair.rejected.task == pair.preferred.task
        assert pair.preferred.reward == max(t.reward for t in of_task) > pair.rejected.reward
        assert pair.preferred in usable
        assert pair.rejected in usable
    assert len({pair.rejected.id for pair in found}) == len(found)
    for task in "st":
        rewards = [t.reward for t in usable if t.task.id == task]
        lower = sum(reward < max(rewards) for reward in rewards)
        assert sum(pair.preferred.task.id == task for pair in found) == min(count, lower)


WHOLE = ChatFormat(style="action")


def test_a_pair_becomes_one_example_with_loss_on_all_turns_of_both_sides() -> None:
    (example,) = pair_examples([Pair(episode("good", 1.0), episode("bad", 0.0, length=3))], WHOLE, "Do it.")
    assert [m.content for m in example.messages] == ["Do it.", "start", "good0", "saw 0", "good1"]
    assert [m.content for m in example.rejected] == ["Do it.", "start", "bad0", "saw 0", "bad1", "saw 1", "bad2"]
    for side in (example.messages, example.rejected):
        assert all(message.weight == (message.role == "assistant") for message in side)
    assert (example.id, example.task, example.trajectory, example.source) == ("good#pair#bad", "t", "good", "pair")
    of_pair = {"rejected": "bad", "rejected_states": [0, 1, 2], "rewards": [1.0, 0.0]}
    assert example.info == {"kind": "", "steps": 2, "invalid": 0, "unparsed": 0} | of_pair


def test_filters_judge_a_pair_by_its_preferred_side() -> None:
    unread = [
        Step(action="x", observation=Observation(text="?"), valid=False, response=Response(text="x", parsed=False))
    ]
    good = episode("good", 1.0, length=3)
    good = good.changed(steps=(*good.steps, *unread))
    pair = Pair(good, episode("bad", 0.0, length=9))
    examples = pair_examples([pair], WHOLE, "", tries={"t": [True, False]})
    assert DropUnparsed().apply(examples, 0) == []
    assert LimitLength(steps=3).apply(examples, 0) == []
    assert LimitLength(steps=4).apply(examples, 0) == examples
    info = examples[0].info
    assert (info["invalid"], info["unparsed"], info["tries"], info["solved"]) == (1, 1, 2, 1)


def test_a_side_ends_where_its_prompts_lost_their_beginning() -> None:
    long = episode("good", 1.0, length=4)
    steps = [
        step.changed(response=Response(text=step.action, dropped=max(0, number - 1)))
        for number, step in enumerate(long.steps)
    ]
    (example,) = pair_examples([Pair(long.changed(steps=tuple(steps)), episode("bad", 0.0))], WHOLE, "")
    assert [m.content for m in example.messages] == ["start", "good0", "saw 0", "good1"]
    assert [m.content for m in example.rejected] == ["start", "bad0", "saw 0", "bad1"]
