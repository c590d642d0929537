from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework import filters
from eef_framework.filters import (
    Balance,
    CapPerTask,
    Deduplicate,
    DropSimilar,
    DropUnparsed,
    LimitLength,
    WeighTrajectories,
)
from eef_framework.filters.similar import similarity
from eef_framework.interfaces import Filter
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


def turn(trajectory: str, number: int, words: str = "a", weight: float = 1.0, **facts: Any) -> Example:
    """Return one turn of a trajectory of task `trajectory[0]`."""
    said = (Message(role="user", content="?"), Message(role="assistant", content=words, weight=weight))
    info = {"kind": trajectory[0], "steps": 4, "invalid": 0, "unparsed": 0} | facts
    return Example(id=f"{trajectory}@{number}", messages=said, task=trajectory[0], trajectory=trajectory, info=info)


@st.composite
def selected(draw: st.DrawFn) -> list[Example]:
    """Return the examples of several trajectories, one a turn, with facts about each trajectory."""
    found = []
    for number in range(draw(st.integers(0, 8))):
        task = draw(st.sampled_from("xyz"))
        facts = {name: draw(st.integers(0, 4)) for name in ("invalid", "unparsed", "solved")} | {"tries": 4}
        words = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
        weight = draw(st.sampled_from([0.25, 1.0]))
        found += [turn(f"{task}{number}", i, word, weight, **facts) for i, word in enumerate(words)]
    return found


every_filter = st.one_of(
    st.builds(CapPerTask, trajectories=st.integers(1, 3)),
    st.just(Deduplicate()),
    st.builds(DropSimilar, similarity=st.floats(0.1, 1.0)),
    st.builds(LimitLength, turns=st.none() | st.integers(1, 3), steps=st.none() | st.integers(1, 5)),
    st.builds(DropUnparsed, unparsed=st.floats(0, 1), invalid=st.floats(0, 1)),
    st.builds(Balance, by=st.sampled_from(["kind", "difficulty"]), ratio=st.floats(1.0, 3.0)),
    st.just(WeighTrajectories()),
)


def test_every_filter_of_the_core_is_among_those_tested_here() -> None:
    tested = {CapPerTask, Deduplicate, DropSimilar, LimitLength, DropUnparsed, Balance, WeighTrajectories}
    assert {getattr(filters, name) for name in filters.__all__} == tested


@given(every_filter, selected(), st.integers())
def test_a_filter_makes_nothing_up_and_keeps_order_and_weights_within_bounds(
    filter_: Filter, examples: list[Example], seed: int
) -> None:
    kept = list(filter_.apply(examples, seed))
    ids = [each.id for each in examples]
    assert [each.id for each in kept] == [name for name in ids if name in {each.id for each in kept}]
    for each in kept:
        assert all(0.0 <= message.weight <= 1.0 for message in each.messages)
        assert each.trained_turns == 1


@given(every_filter, selected(), st.integers())
def test_applying_a_filter_twice_changes_nothing_more(filter_: Filter, examples: list[Example], seed: int) -> None:
    once = list(filter_.apply(examples, seed))
    again = list(filter_.apply(once, seed))
    assert [each.id for each in again] == [each.id for each in once]
    assert [each.messages[1].weight for each in again] == pytest.approx([each.messages[1].weight for each in once])


@given(selected())
def test_weighed_trajectories_weigh_the_same_and_keep_the_proportions_of_their_turns(examples: list[Example]) -> None:
    before = {each.id: each.messages[1].weight for each in examples}
    totals: dict[str, float] = Counter()
    for each in WeighTrajectories().apply(examples, 0):
        totals[each.trajectory] += each.messages[1].weight
        assert each.messages[1].weight <= before[each.id] or before[each.id] < 1
    assert all(total == pytest.approx(1.0) for total in totals.values())


def test_pairs_keep_their_weights() -> None:
    pair = turn("x1", 0).changed(rejected=turn("x2", 0).messages)
    assert WeighTrajectories().apply([pair, pair.changed(id="y")], 0) == [pair, pair.changed(id="y")]


@given(selected(), st.floats(1.0, 3.0), st.integers())
def test_no_group_has_more_than_so_many_times_the_trajectories_of_the_smallest(
    examples: list[Example], ratio: float, seed: int
) -> None:
    before = {kind: {e.trajectory for e in examples if e.task == kind} for kind in {e.task for e in examples}}
    kept = list(Balance(ratio=ratio).apply(examples, seed))
    after = Counter(task for task, _ in {(e.task, e.trajectory) for e in kept})
    smallest = min(map(len, before.values()), default=0)
    assert after == {kind: min(len(names), int(ratio * smallest)) for kind, names in before.items()}


def test_balance_by_difficulty_tells_tasks_solved_always_sometimes_and_never_apart() -> None:
    always = [turn(f"x{i}", 0, tries=2, solved=2) for i in range(6)]
    others = [turn("y0", 0, tries=2, solved=1), turn("z0", 0, tries=2, solved=0), turn("w0", 0)]
    kept = list(Balance(by="difficulty", ratio=2.0).apply([*always, *others], 0))
    assert [each.task for each in kept] == ["x", "x", "y", "z", "w"]


def test_the_first_of_similar_trajectories_of_a_task_is_kept() -> None:
    def said(trajectory: str, words: str) -> list[Example]:
        return [turn(trajectory, i, word) for i, word in enumerate(words)]

    given_ = [*said("x0", "abcde"), *said("x1", "abcdf"), *said("x2", "vwxyz"), *said("y0", "abcde")]
    assert {e.trajectory for e in DropSimilar(similarity=0.8).apply(given_, 0)} == {"x0", "x2", "y0"}
    assert {e.trajectory for e in DropSimilar(similarity=0.9).apply(given_, 0)} == {"x0", "x1", "x2", "y0"}


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_similarity_is_symmetric_and_1_for_equal_answers_only(first: str, second: str) -> None:
    found = similarity(tuple(first), tuple(second))
    assert found == similarity(tuple(second), tuple(first))
    assert 0.0 <= found <= 1.0
    assert (found == 1.0) == (first == second)


def test_long_trajectories_conversations_and_texts_are_dropped_each_by_its_own_limit() -> None:
    short, long = turn("x0", 0, steps=3), turn("x1", 0, "a" * 50, steps=9)
    two = short.changed(id="two", messages=short.messages * 2)
    foreign = short.changed(id="foreign", info={})
    assert LimitLength(steps=5).apply([short, long, foreign], 0) == [short, foreign]
    assert LimitLength(turns=1).apply([short, two], 0) == [short]
    assert LimitLength(characters=20).apply([short, long], 0) == [short]
    assert LimitLength(characters=20).apply([short.changed(rejected=long.messages)], 0) == []
    assert LimitLength().apply([short, long, two], 0) == [short, long, two]


def test_trajectories_with_answers_that_were_not_understood_are_dropped() -> None:
    clean, unparsed, invalid = turn("x0", 0), turn("x1", 0, unparsed=1), turn("x2", 0, invalid=2)
    foreign = clean.changed(id="foreign", info={})
    assert DropUnparsed().apply([clean, unparsed, invalid, foreign], 0) == [clean, invalid, foreign]
    assert DropUnparsed(unparsed=0.25, invalid=0.4).apply([clean, unparsed, invalid], 0) == [clean, unparsed]
