import random
from collections import Counter
from itertools import product

import pytest
from eef_attribution.evidence import Outcome, Rule, compare, difference, fisher, sprt, tokens_of
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.records import Observation, Origin, Response, Step, Task, Trajectory, Verdict

TASK = Task(id="t", environment="corridor")
SEEN = Observation(text="a room")


@pytest.mark.parametrize(
    ("table", "p"),
    [
        # Fisher's tea-tasting experiment: all eight cups right, six of eight right.
        ((4, 4, 0, 4), 2 / 70),
        ((3, 4, 1, 4), 34 / 70),
        ((0, 5, 5, 5), 2 / 252),
        # Worked by hand: 8 good of 15; only the tables 7|1 and 0|8 of 6435 are as rare as 7 of 7 against 1 of 8.
        ((7, 7, 1, 8), 9 / 6435),
        ((2, 2, 2, 2), 1.0),
        ((0, 0, 3, 4), 1.0),
        ((0, 0, 0, 0), 1.0),
    ],
)
def test_fishers_test_gives_known_values(table, p):
    assert fisher(*table) == pytest.approx(p)


counts = st.integers(0, 8).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(first=counts, second=counts)
def test_fishers_test_is_symmetric(first, second):
    (a, n), (b, m) = first, second
    assert fisher(a, n, b, m) == fisher(b, m, a, n) == fisher(n - a, n, m - b, m)
    assert 0 < fisher(a, n, b, m) <= 1


def test_an_outcome_is_open_only_while_lost_simulations_could_decide_it():
    assert Outcome(asked=3, found=2, successes=0).solved(Rule("any")) is None
    assert Outcome(asked=3, found=2, successes=1).solved(Rule("any")) is True
    assert Outcome(asked=3, found=2, successes=0).solved(Rule("majority")) is False
    assert Outcome(asked=3, found=2, successes=1).solved(Rule("majority")) is None
    assert Outcome(asked=3, found=3, successes=0).solved(Rule("any")) is False


@pytest.mark.parametrize(
    ("found", "successes", "lost", "decision"),
    # The numbers of Wald's test are below.
    [(4, 0, 0, False), (4, 0, 4, None), (6, 0, 1, None), (7, 0, 1, False), (2, 2, 1, True), (2, 2, 2, None)],
)
def test_walds_test_is_open_while_lost_simulations_could_decide_it_but_not_because_of_those_left_out(
    found, successes, lost, decision
):
    assert Outcome(found + lost, found, successes).solved(Rule("sprt", alpha=0.1)) is decision
    left_out = Outcome(found + lost + 5, found, successes, not_played=5)
    assert left_out.solved(Rule("sprt", alpha=0.1)) is decision


@pytest.mark.parametrize(
    ("before", "after", "low", "high"),
    [
        # Newcombe (1998), table II, method 10: 56/70 - 48/80, 9/10 - 3/10, 10/10 - 0/10, 0/10 - 0/20.
        ((80, 48), (70, 56), 0.0524, 0.3339),
        ((10, 3), (10, 9), 0.1705, 0.8090),
        ((10, 0), (10, 10), 0.6075, 1.0),
        ((20, 0), (10, 0), -0.1611, 0.2775),
    ],
)
def test_the_interval_of_a_difference_agrees_with_published_ones(before, after, low, high):
    found = difference(Outcome(before[0], *before), Outcome(after[0], *after))
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_a_difference_from_a_state_without_simulations_says_nothing():
    found = difference(Outcome(3, 0, 0), Outcome(3, 3, 3))
    assert (found.low, found.high) == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("successes", "failures", "decision"),
    # ln 9 = 2.197; a success is worth ln 5 = 1.609, a failure -ln 1.8 = -0.588.
    [(0, 0, None), (1, 0, None), (2, 0, True), (2, 1, True), (2, 2, None), (0, 3, None), (0, 4, False), (1, 6, None)],
)
def test_walds_test_ends_where_the_arithmetic_says(successes, failures, decision):
    assert sprt(successes, failures, Rule("sprt", alpha=0.1)) is decision


@pytest.mark.parametrize("chance", [0.05, 0.1, 0.5, 0.9])
def test_walds_test_errs_as_seldom_as_it_says(chance):
    rule, draw, ends = Rule("sprt", alpha=0.1), random.Random(1), Counter()
    for _ in range(2000):
        outcomes = [0, 0]
        while (decision := sprt(outcomes[1], outcomes[0], rule)) is None:
            outcomes[draw.random() < chance] += 1
        ends[decision] += 1
    assert ends[chance < 0.3] / 2000 < 0.1 + 0.015  # the level, and two standard errors


@given(
    found=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    lost=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    data=st.data(),
    decide=st.sampled_from(["any", "majority", "sprt", "significant"]),
)
def test_no_verdict_could_have_been_changed_by_missing_simulations(found, lost, data, decide):
    wins = [data.draw(st.integers(0, n)) for n in found]
    rule = Rule(decide, alpha=0.1)
    verdict = compare(*(Outcome(n + m, n, won) for n, m, won in zip(found, lost, wins, strict=True)), rule)
    if verdict is not Verdict.UNKNOWN:
        for more in product(*(range(m + 1) for m in lost)):
            asked = [n + m for n, m in zip(found, lost, strict=True)]
            complete = [Outcome(n, n, won + extra) for n, won, extra in zip(asked, wins, more, strict=True)]
            assert compare(*complete, rule) is verdict


def test_tokens_are_those_of_the_agents_own_steps():
    step = Step(action="a", observation=SEEN, response=Response(text="a", computed_tokens=7))
    run = Trajectory(task=TASK, initial=SEEN, steps=(step,) * 5, origin=Origin(trajectory="e", state=3))
    assert tokens_of([run, run]) == 2 * 2 * 7
