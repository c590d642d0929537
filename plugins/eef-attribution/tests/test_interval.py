import asyncio
from collections.abc import Sequence

import pytest
from eef_attribution.interval import IntervalAttributor
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eef_framework import rollout
from eef_framework.records import Attribution, Observation, State, Step, SuccessRule, Task, Trajectory, Verdict

TASK = Task(id="t", environment="corridor")
SEEN = Observation(text="a room")


def expert(length: int) -> Trajectory:
    steps = tuple(Step(action=f"a{i}", observation=SEEN) for i in range(length))
    return Trajectory(id="expert/t", task=TASK, actor="expert", initial=SEEN, steps=steps)


class Outcomes:
    """Simulations whose outcomes are written down: state -> True, False, or None for a lost simulation."""

    rule = SuccessRule()

    def __init__(self, outcomes: dict[int, Sequence[bool | None]]) -> None:
        self.outcomes = outcomes
        self.asked: list[tuple[int, int]] = []
        self.waiting = self.most_waiting = 0

    async def simulate(self, start: State, n: int) -> Sequence[Trajectory]:
        state = start.length
        self.asked.append((state, n))
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        await asyncio.sleep(0)
        self.waiting -= 1
        results = enumerate(self.outcomes[state][:n])
        return [
            Trajectory(id=f"s{state}/{i}", task=TASK, actor="agent", initial=SEEN, reward=float(won))
            for i, won in results
            if won is not None
        ]

    async def episodes(self, task: Task) -> Sequence[Trajectory]:
        return []


def attributed(attributor: IntervalAttributor, length: int, simulations: Outcomes) -> Attribution:
    return asyncio.run(rollout.attribute(attributor, expert(length), simulations))


def attribute(length: int, outcomes: dict[int, Sequence[bool | None]], decide: str = "any", **settings) -> Attribution:
    settings["decide"] = decide
    return attributed(IntervalAttributor(**settings), length, Outcomes(outcomes))


def verdicts(attribution: Attribution) -> list[str]:
    return [attribution.verdict(action).value for action in range(attribution.length)]


@pytest.mark.parametrize(
    ("length", "probes", "states"),
    [
        (0, 5, ()),
        (1, 5, (0,)),
        (2, 5, (0, 1)),
        (3, 5, (0, 1, 2)),
        (6, 5, (0, 1, 2, 3, 4, 5)),
        (10, 5, (0, 1, 2, 3, 4, 5)),
        (12, 5, (0, 2, 4, 6, 8, 10)),
        (17, 5, (0, 2, 4, 6, 8, 10)),
        (18, 5, (0, 3, 6, 9, 12, 15)),
        (10, 1, (0, 5)),
        (3, 1, (0, 1)),
        (1, 1, (0,)),
    ],
)
def test_probed_states_are_multiples_of_the_papers_distance(length, probes, states):
    assert IntervalAttributor(probes=probes).states(length) == states


@given(length=st.integers(1, 200), probes=st.integers(1, 50))
def test_probed_states_are_distinct_and_leave_an_action_to_take(length, probes):
    states = IntervalAttributor(probes=probes).states(length)
    distance = max(1, length // (probes + 1))
    assert states == tuple(sorted({0} | {k * distance for k in range(1, probes + 1) if k * distance < length}))


W, L = True, False


@pytest.mark.parametrize(
    ("before", "after", "settings", "verdict"),
    [
        ([L], [W], {}, "beneficial"),
        ([W], [L], {}, "harmful"),
        ([W], [W], {}, "neutral"),
        ([L], [L], {}, "neutral"),
        ([None], [W], {}, "unknown"),
        ([L], [None], {}, "unknown"),
        ([None], [None], {}, "unknown"),
        ([L, L, L], [L, L, W], {"simulations": 3}, "beneficial"),
        ([L, W, L], [L, L, W], {"simulations": 3}, "neutral"),
        # A lost simulation matters only where it could have decided.
        ([L, L, L], [None, None, W], {"simulations": 3}, "beneficial"),
        ([L, None, L], [W, W, W], {"simulations": 3}, "unknown"),
        ([L, L, W], [W, W, L], {"simulations": 3, "decide": "majority"}, "beneficial"),
        ([W, W, L], [W, L, L], {"simulations": 3, "decide": "majority"}, "harmful"),
        ([W, L], [W, W], {"simulations": 2, "decide": "majority"}, "beneficial"),
        ([None, L, L], [W, W, None], {"simulations": 3, "decide": "majority"}, "beneficial"),
        ([None, W, L], [W, W, None], {"simulations": 3, "decide": "majority"}, "unknown"),
        ([L] * 4, [W] * 4, {"simulations": 4, "decide": "significant"}, "beneficial"),
        ([W] * 4, [L] * 4, {"simulations": 4, "decide": "significant"}, "harmful"),
        ([L] * 4, [W] * 3 + [L], {"simulations": 4, "decide": "significant"}, "unknown"),
        ([W] * 4, [W] * 4, {"simulations": 4, "decide": "significant"}, "unknown"),
        ([None] * 4, [W] * 4, {"simulations": 4, "decide": "significant"}, "unknown"),
    ],
)
def test_neighbours_are_compared(before, after, settings, verdict):
    attribution = attribute(2, {0: before, 1: after}, **settings)
    assert verdicts(attribution) == [verdict, "unknown"]


def test_an_attribution_holds_verdicts_probes_and_reasons():
    attribution = attribute(7, {0: [L], 2: [W], 4: [L]}, probes=2)
    assert verdicts(attribution) == ["beneficial"] * 2 + ["harmful"] * 2 + ["unknown"] * 3
    assert attribution.needing_recovery == (4,)
    assert [(p.state, p.simulations, p.successes) for p in attribution.probes] == [
        (0, ("s0/0",), 0),
        (2, ("s2/0",), 1),
        (4, ("s4/0",), 0),
    ]
    assert [segment.reason for segment in attribution.segments] == [
        "agent: 0 of 1 from state 0, 1 of 1 from state 2",
        "agent: 1 of 1 from state 2, 0 of 1 from state 4",
        "no state after state 4 was probed",
    ]
    assert (attribution.trajectory, attribution.length, attribution.method) == ("expert/t", 7, "interval")


def test_a_reason_says_how_many_simulations_are_missing():
    attribution = attribute(2, {0: [L, None], 1: [W, W]}, simulations=2)
    assert attribution.segments[0].reason == "agent: 0 of 1 (1 lost) from state 0, 2 of 2 from state 1"


def test_a_trajectory_without_actions_is_not_simulated():
    simulate = Outcomes({})
    attribution = attributed(IntervalAttributor(), 0, simulate)
    assert (attribution.length, attribution.segments, attribution.probes, simulate.asked) == (0, (), (), [])


def test_all_states_are_awaited_together():
    simulate = Outcomes({state: [W] for state in range(6)})
    attributed(IntervalAttributor(), 9, simulate)
    assert simulate.most_waiting == 6


@given(length=st.integers(0, 40), probes=st.integers(1, 8), simulations=st.integers(1, 3))
def test_what_is_planned_is_what_is_asked_for(length, probes, simulations):
    attributor = IntervalAttributor(probes=probes, simulations=simulations)
    simulate = Outcomes({state: [W] * simulations for state in range(length)})
    attributed(attributor, length, simulate)
    assert dict(simulate.asked) == attributor.planned_simulations(length)
    assert len(simulate.asked) == len(attributor.planned_simulations(length))


def oracle(before: Sequence[bool | None], after: Sequence[bool | None], majority: bool) -> Verdict:
    """Try every way the lost simulations could have gone; the verdict stands if all of them agree."""

    def ways(outcomes: Sequence[bool | None]) -> list[list[bool]]:
        filled: list[list[bool]] = [[]]
        for won in outcomes:
            filled = [[*way, w] for way in filled for w in ((W, L) if won is None else (won,))]
        return filled

    def solved(outcomes: list[bool]) -> bool:
        return outcomes.count(W) > outcomes.count(L) if majority else W in outcomes

    befores, afters = {solved(way) for way in ways(before)}, {solved(way) for way in ways(after)}
    if len(befores) > 1 or len(afters) > 1:
        return Verdict.UNKNOWN
    return {
        (L, W): Verdict.BENEFICIAL,
        (W, L): Verdict.HARMFUL,
        (W, W): Verdict.NEUTRAL,
        (L, L): Verdict.NEUTRAL,
    }[befores.pop(), afters.pop()]


@given(data=st.data(), length=st.integers(1, 30), probes=st.integers(1, 6), n=st.integers(1, 4), majority=st.booleans())
def test_segments_partition_the_actions_and_verdicts_agree_with_an_oracle(data, length, probes, n, majority):
    outcome = st.lists(st.sampled_from([W, L, None]), min_size=n, max_size=n)
    attributor = IntervalAttributor(probes=probes, simulations=n, decide="majority" if majority else "any")
    outcomes = {state: data.draw(outcome) for state in attributor.states(length)}
    attribution = attributed(attributor, length, Outcomes(outcomes))

    covered = [action for segment in attribution.segments for action in range(segment.start, segment.end)]
    assert covered == list(range(length))
    *judged, tail = attribution.segments
    assert tail.verdict is Verdict.UNKNOWN
    for segment in judged:
        assert segment.verdict is oracle(outcomes[segment.start], outcomes[segment.end], majority)
    assert all(segment.reason for segment in attribution.segments)


def test_significance_that_too_few_simulations_could_ever_show_is_refused():
    with pytest.raises(ValidationError, match=r"with 3 simulations.*p = 0\.1; raise simulations, or alpha"):
        IntervalAttributor(decide="significant", simulations=3)
    IntervalAttributor(decide="significant", simulations=3, alpha=0.1)
