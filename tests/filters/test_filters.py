from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from eef_framework.filters import CapPerTask, Deduplicate
from eef_framework.records import Example, Message


def example(task: int, trajectory: int, turn: int = 0, words: str = "a") -> Example:
    said = (Message(role="user", content="?"), Message(role="assistant", content=words, weight=1.0))
    name = f"{task}-{trajectory}"
    return Example(id=f"{name}@{turn}", messages=said, task=str(task), trajectory=name)


many = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 2)), unique=True).map(
    lambda places: [example(*place) for place in places]
)


@given(many, st.integers(1, 4), st.integers())
def test_a_cap_keeps_whole_trajectories_in_order_and_no_more_than_so_many_of_a_task(
    examples: list[Example], cap: int, seed: int
) -> None:
    kept = list(CapPerTask(trajectories=cap).apply(examples, seed))
    names = {e.trajectory for e in kept}
    assert kept == [e for e in examples if e.trajectory in names]
    of_task = Counter(task for task, _ in {(e.task, e.trajectory) for e in kept})
    there = Counter(task for task, _ in {(e.task, e.trajectory) for e in examples})
    assert of_task == {task: min(cap, count) for task, count in there.items()}


@given(many, st.integers())
def test_a_cap_depends_on_its_seed_alone(examples: list[Example], seed: int) -> None:
    cap = CapPerTask(trajectories=1)
    assert cap.apply(examples, seed) == cap.apply(examples, seed)
    assert {e.id for e in cap.apply(examples[::-1], seed)} == {e.id for e in cap.apply(examples, seed)}


def test_equal_conversations_are_kept_once_and_different_weights_make_a_difference() -> None:
    first, second, other = example(0, 0), example(1, 1), example(2, 2, words="b")
    message = first.messages[1].model_copy(update={"weight": 0.5})
    lighter = first.model_copy(update={"id": "x", "messages": (first.messages[0], message)})
    assert Deduplicate().apply([first, second, other, lighter], 0) == [first, other, lighter]


def test_pairs_with_one_better_and_two_worse_attempts_are_different() -> None:
    first, worse = example(0, 0), example(0, 1, words="b")
    pairs = [first.changed(id=str(n), rejected=side) for n, side in enumerate([worse.messages, (), worse.messages])]
    assert Deduplicate().apply(pairs, 0) == pairs[:2]
