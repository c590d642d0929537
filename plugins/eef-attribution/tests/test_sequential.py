import asyncio

import pytest
from eef_attribution.bisect import BisectAttributor
from eef_attribution.interval import IntervalAttributor
from eef_attribution.sequential import SequentialAttributor
from eef_attribution.substitute import SubstituteAttributor
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from eef_framework import Attributor, ConfigError, Segment
from eef_framework.errors import AttributorFailure
from eef_framework.records import Observation, Step, Task, Trajectory
from eef_framework.testing.conformance import check_attributor
from eef_framework.testing.simulate import ScriptedSimulate, demonstration


def sequential(**strategy) -> SequentialAttributor:
    return SequentialAttributor(strategy=strategy, budget=10_000)


@settings(max_examples=30)
@given(
    chances=st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=1, max_size=20),
    n=st.integers(1, 7),
    seed=st.integers(0, 100),
    decide=st.sampled_from(["any", "majority"]),
)
def test_with_a_fixed_number_it_gives_the_same_verdicts_with_fewer_simulations(tried, chances, n, seed, decide):
    fixed = {"simulations": n, "decide": decide}
    whole = tried(IntervalAttributor(**fixed), chances, seed)
    saved = tried(sequential(name="interval", **fixed), chances, seed)
    assert saved.verdicts == whole.verdicts
    assert all(saved.played[state] <= count for state, count in whole.played.items())


@settings(max_examples=30)
@given(chances=st.lists(st.sampled_from([0.1, 0.9]), min_size=1, max_size=30), seed=st.integers(0, 100))
def test_it_composes_with_bisection(tried, chances, seed):
    whole = tried(BisectAttributor(simulations=5), chances, seed)
    saved = tried(sequential(name="bisect", simulations=5), chances, seed)
    assert saved.verdicts == whole.verdicts
    assert sum(saved.played.values()) <= sum(whole.played.values())


def test_it_stops_a_state_whose_outcome_is_clear(tried):
    found = tried(sequential(name="interval", probes=1, simulations=9), [0.0, 1.0])
    assert found.played == {0: 5, 1: 5}
    assert found.attribution.segments[0].reason == (
        "agent: 0 of 5 (4 not played) from state 0, 5 of 5 (4 not played) from state 1"
    )
    assert found.verdicts == ["beneficial", "unknown"]


def test_a_state_that_is_clear_gets_no_more_simulations_for_the_sake_of_its_neighbour(tried):
    found = tried(sequential(name="interval", probes=1, decide="sprt", simulations=12, alpha=0.1), [0.0, 1.0], seed=3)
    # Wald's test: ln 9 = 2.20 is passed by two successes (2 ln 5 = 3.22) or four failures (4 ln 1.8 = 2.35).
    assert found.played == {0: 4, 1: 2}


@pytest.mark.parametrize("decide", ["gap", "significant"])
def test_actions_after_the_last_state_are_no_reason_to_simulate(tried, decide):
    found = tried(sequential(name="interval", probes=1, simulations=12, decide=decide), [0.0, 0.0, 1.0, 1.0])
    assert found.verdicts == ["beneficial"] * 2 + ["unknown"] * 2
    assert max(found.played.values()) < 12


@settings(max_examples=30)
@given(budget=st.integers(1, 30), seed=st.integers(0, 20))
def test_the_budget_is_kept_and_what_is_not_clear_by_then_is_unknown(tried, budget, seed):
    strategy = {"name": "interval", "simulations": 9}
    found = tried(SequentialAttributor(strategy=strategy, budget=budget), [0.5] * 12, seed)
    assert sum(found.played.values()) <= budget
    if budget < 10:  # no two states can have five equal outcomes
        assert set(found.verdicts) == {"unknown"}


def test_lost_simulations_are_neither_evidence_nor_played_again(tried):
    found = tried(
        sequential(name="interval", probes=1, simulations=3), [0.0, 1.0], lost=lambda state, index: state == 1
    )
    assert found.played[1] == 3
    assert found.verdicts == ["unknown"] * 2
    reason = found.attribution.segments[0].reason
    assert reason == "agent: 0 of 2 (1 not played) from state 0, 0 of 0 (3 lost) from state 1"


def test_lost_simulations_and_those_left_out_are_counted_apart(tried):
    strategy = {"name": "montecarlo", "simulations": 9, "decide": "sprt", "alpha": 0.1}
    found = tried(sequential(**strategy), [0.0, 1.0], lost=lambda state, index: (state, index) == (0, 0))
    # Eight simulations from state 0: one lost, seven failures decide it, even if the lost one had succeeded: four would
    # otherwise. Two successes decide state 1.
    assert found.played == {0: 8, 1: 2}
    before, after = found.attribution.segments[0].reason.removeprefix("agent: ").split(", 2 of ")
    assert (before, after) == ("0 of 7 (1 lost, 1 not played) from state 0", "2 (7 not played) from state 1")


class Twice(Attributor):
    """A strategy of somebody else's: solved if both of two simulations succeed."""

    name = "twice"

    async def attribute(self, trajectory, simulate):
        runs = await simulate(0, 2)
        failed = not all(map(simulate.succeeded, runs))
        if len(runs) < 2 and not failed:
            return [Segment(start=0, end=1, verdict="unknown")]
        return [Segment(start=0, end=1, verdict="neutral" if failed else "beneficial")]


def test_it_wraps_any_strategy_that_does_not_count_lost_simulations(tried):
    strategy = {"name": f"{__name__}:Twice"}
    assert tried(SequentialAttributor(strategy=strategy), [0.0] * 3).played == {0: 1}
    assert tried(SequentialAttributor(strategy=strategy), [1.0] * 3).played == {0: 2}


class Fewer(Twice):
    """Looks at three simulations, then at the first two of them."""

    name = "fewer"

    async def attribute(self, trajectory, simulate):
        await simulate(0, 3)
        return await super().attribute(trajectory, simulate)


def test_no_other_simulation_takes_the_place_of_a_lost_one(tried):
    def verdicts(attributor):
        return tried(attributor, [1.0] * 3, lost=lambda state, index: index == 0).verdicts

    strategy = {"name": f"{__name__}:Fewer"}
    found = verdicts(SequentialAttributor(strategy=strategy, first=3))
    assert found == verdicts(Fewer()) == ["unknown"] * 3, "the lost one could change it, when the run is resumed"


class Forgetful(Twice):
    """Forgets to await."""

    name = "forgetful"

    async def attribute(self, trajectory, simulate):
        won = simulate.success_rate(0)
        return [Segment(start=0, end=1, verdict="beneficial" if won else "harmful")]


def test_a_strategy_that_forgets_await_is_an_error(tried):
    with pytest.raises(AttributorFailure) as caught:
        tried(SequentialAttributor(strategy={"name": f"{__name__}:Forgetful"}), [0.5])
    assert caught.value.code == "not-awaited"


@pytest.mark.parametrize("proposer", ["likelihood", "entropy"])
def test_the_agent_is_asked_for_each_score_once(proposer):
    actions = tuple(f"go[{k}]" for k in range(10))
    shown = [Observation(text=str(k), actions=actions) for k in range(11)]
    steps = tuple(Step(action=action, observation=seen) for action, seen in zip(actions, shown[1:], strict=True))
    trajectory = demonstration(10).changed(initial=shown[0], steps=steps)
    simulate = ScriptedSimulate(trajectory, lambda state, index: index % 2 == 0)
    asyncio.run(sequential(name="propose-verify", proposer=proposer).attribute(trajectory, simulate))
    assert (simulate.scored, len(simulate.asked) > 2) == (10, True)


def test_a_judge_whose_answers_are_lost_is_asked_each_question_once(corridor, judge, answers):
    failures = [each for each in corridor.agent_failures() if len(each.steps) > 2]
    lost = answers(lambda question: None if question.count("Step ") % 2 else "Action: look")
    strategy = sequential(name="substitute", judge=judge, simulations=3, decide="majority")
    corridor.attribute(strategy, failures[:1])
    assert lost
    assert len(lost) == len(set(lost))


def episode(actor: str, *seen_and_done: str) -> Trajectory:
    """Return an episode: an observation, an action, the next observation, and so on."""
    observations = [Observation(text=text) for text in seen_and_done[::2]]
    steps = tuple(Step(action=a, observation=o) for a, o in zip(seen_and_done[1::2], observations[1:], strict=True))
    task = Task(id="t", environment="made-up")
    return Trajectory(id=actor, task=task, actor=actor, initial=observations[0], steps=steps)


def test_concurrent_requests_for_a_state_share_its_simulations():
    twice = episode("expert/e", "hall", "east", "yard", "back", "hall", "east", "yard", "win", "end")
    failure = episode("agent/a", "hall", "wait", "hall again")

    def verdicts(attributor: Attributor) -> list[tuple[int, str, str]]:
        simulate = ScriptedSimulate(twice, lambda state, index: True, episodes=(twice, failure))
        found = asyncio.run(attributor.attribute(twice, simulate))
        return [(each.start, each.verdict.value, each.reason) for each in found]

    alone = verdicts(SubstituteAttributor(simulations=1))
    assert [(start, verdict) for start, verdict, _ in alone] == [(0, "beneficial"), (2, "beneficial")]
    assert verdicts(sequential(name="substitute", simulations=1)) == alone


def test_states_of_other_episodes_are_simulated_from_wherever_they_are():
    late = episode("expert/e", "gate", "in", "porch", "on", "hall", "east", "end")
    failure = episode("agent/a", "hall", "wait", "hall again")
    simulate = ScriptedSimulate(late, lambda state, index: True, episodes=(late, failure))
    (segment,) = asyncio.run(sequential(name="substitute", simulations=3).attribute(late, simulate))
    assert (segment.start, segment.verdict.value, segment.evidence.simulations) == (2, "beneficial", 2)


def test_a_strategy_that_does_not_exist_is_an_error():
    with pytest.raises(ConfigError) as caught:
        SequentialAttributor(strategy="bisekt")
    assert caught.value.code == "unknown-name"


def test_first_simulations_beyond_the_budget_are_refused():
    with pytest.raises(ValidationError) as caught:
        SequentialAttributor(first=9, budget=8)
    (error,) = caught.value.errors()
    assert (error["type"], error["ctx"]) == ("first-above-budget", {"first": 9, "budget": 8})
    assert SequentialAttributor(first=8, budget=8).first == 8


@pytest.mark.parametrize(
    "strategy", ["sequential", {"name": "propose-verify", "proposer": "sequential"}], ids=["directly", "further down"]
)
def test_one_within_another_is_refused(strategy):
    with pytest.raises(ValidationError) as caught:
        SequentialAttributor(strategy=strategy)
    assert [error["type"] for error in caught.value.errors()] == ["sequential-in-sequential"]


@pytest.mark.parametrize(
    "strategy",
    [
        {"name": "interval", "simulations": 5},
        {"name": "interval", "simulations": 5, "decide": "significant"},
        {"name": "bisect", "simulations": 5, "decide": "any"},
    ],
)
def test_it_keeps_its_contract_over_other_strategies(strategy):
    check_attributor(SequentialAttributor(strategy=strategy))
