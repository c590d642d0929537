"""Each rule is tested against an attributor that breaks it."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from eef_framework.interfaces import Attributor, Simulate
from eef_framework.records import Attribution, Segment, Trajectory, Verdict
from eef_framework.rollout.attribution import attribution_by
from eef_framework.testing.conformance import Nonconformance, attributor_violations, check_attributor
from eef_framework.testing.simulate import ScriptedSimulate, demonstration


class Halves(Attributor):
    """Compares the start with the middle: the smallest attributor that keeps its contract."""

    name: ClassVar[str] = "halves"

    def states(self, length: int) -> list[int]:
        return [0, length // 2] if length > 1 else []

    def planned_simulations(self, length: int) -> dict[int, int] | None:
        return dict.fromkeys(self.states(length), 1)

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
        states = self.states(len(trajectory.steps))
        found = await asyncio.gather(*map(simulate, states))
        return self.segments(states, [self.won(runs, simulate) for runs in found])

    def won(self, runs: Sequence[Trajectory], simulate: Simulate) -> bool | None:
        return simulate.succeeded(runs[0]) if runs else None

    def segments(self, states: Sequence[int], won: Sequence[bool | None]) -> list[Segment]:
        if len(states) < 2 or None in won:
            return []
        return [Segment(start=0, end=states[1], verdict=self.verdict(*map(bool, won)))]

    def verdict(self, before: bool, after: bool) -> Verdict:
        return {1: Verdict.BENEFICIAL, 0: Verdict.NEUTRAL, -1: Verdict.HARMFUL}[after - before]


def broken(attributor: Attributor) -> list[str]:
    """Return the codes of the rules that an attributor breaks."""
    return [violation.code for violation in attributor_violations(attributor)]


def returning(result: Any) -> Attributor:
    """Return an attributor that returns the same whatever it is asked."""

    class Stubborn(Halves):
        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Any:
            return result

        def planned_simulations(self, length: int) -> dict[int, int]:
            return {}

    return Stubborn()


def test_an_attributor_that_keeps_its_contract_passes():
    check_attributor(Halves())


def test_a_failing_check_raises_a_report_of_its_violations():
    with pytest.raises(Nonconformance) as caught:
        check_attributor(returning(["beneficial"]))
    assert [violation.code for violation in caught.value.violations] == broken(returning(["beneficial"]))
    assert caught.value.code == "nonconformance"


def test_an_attributor_that_forgets_await_is_found():
    class Forgetful(Halves):
        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
            won = simulate.success_rate(0)
            return [Segment(start=0, end=1, verdict=Verdict.BENEFICIAL if won else Verdict.HARMFUL)]

        def planned_simulations(self, length: int) -> None:
            return None

    assert broken(Forgetful()) == ["calls-are-awaited"]


@pytest.mark.parametrize(
    "result",
    [
        None,
        "beneficial",
        ["beneficial"],
        Attribution(trajectory="expert/made-up/0", length=0),
        [Segment(start=0, end=99, verdict="harmful")],
        [Segment(start=0, end=1, verdict="harmful")] * 2,
    ],
    ids=["nothing", "a word", "words", "an attribution", "too long", "overlapping"],
)
def test_something_else_than_segments_of_the_trajectory_is_found(result):
    assert broken(returning(result))[0] == "results-are-segments"


def test_a_result_that_depends_on_who_ends_first_is_found():
    class Hasty(Halves):
        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
            finished: list[int] = []

            async def note(state: int) -> None:
                await simulate(state)
                finished.append(state)

            await asyncio.gather(*map(note, self.states(len(trajectory.steps))))
            verdict = Verdict.HARMFUL if finished == sorted(finished) else Verdict.NEUTRAL
            return [Segment(start=0, end=1, verdict=verdict)] if len(finished) > 1 else []

    assert "order-does-not-matter" in broken(Hasty())


def test_a_result_that_depends_on_earlier_calls_is_found():
    class Learning(Halves):
        _calls: int = 0

        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
            self._calls += 1
            good = await super().attribute(trajectory, simulate)
            return [segment.changed(reason=f"call {self._calls}") for segment in good]

    assert broken(Learning()) == ["order-does-not-matter"]


def test_lost_simulations_that_count_as_failures_are_found():
    class Careless(Halves):
        def won(self, runs: Sequence[Trajectory], simulate: Simulate) -> bool:
            return any(map(simulate.succeeded, runs))

    assert broken(Careless()) == ["lost-simulations-are-no-evidence"]


def test_a_state_without_simulations_that_is_compared_as_a_failure_is_found():
    class Neighbours(Attributor):
        name: ClassVar[str] = ""

        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
            states = range(len(trajectory.steps))
            rates = [await simulate.success_rate(state) for state in states]
            if not any(rate is not None for rate in rates):
                return []
            pairs = enumerate(itertools.pairwise(rate or 0.0 for rate in rates))
            worse = [state for state, (one, two) in pairs if one > two]
            return [Segment(start=state, end=state + 1, verdict=Verdict.HARMFUL) for state in worse]

    assert broken(Neighbours()) == ["lost-simulations-are-no-evidence"]


def test_an_attributor_that_simulates_nothing_may_have_its_own_opinion():
    class Opinionated(Halves):
        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
            length = len(trajectory.steps)
            return [Segment(start=0, end=length, verdict=Verdict.BENEFICIAL)] if length else []

        def planned_simulations(self, length: int) -> dict[int, int]:
            return {}

    assert broken(Opinionated()) == []


def test_an_attributor_that_needs_every_simulation_is_found():
    class Needy(Halves):
        def won(self, runs: Sequence[Trajectory], simulate: Simulate) -> bool:
            return simulate.succeeded(runs[0])

    violations = attributor_violations(Needy())
    assert violations[0].code == "lost-simulations-are-no-evidence"
    assert violations[0].where.startswith(__file__)


def test_simulations_from_states_that_do_not_exist_are_found():
    class Beyond(Halves):
        def states(self, length: int) -> list[int]:
            return [0, length] if length > 1 else []

    assert "IndexError" in attributor_violations(Beyond())[0].actual


def test_a_plan_that_is_not_kept_is_found():
    class Overbooked(Halves):
        def planned_simulations(self, length: int) -> dict[int, int]:
            return dict.fromkeys(range(length), 1)

    assert broken(Overbooked()) == ["plans-are-kept"]


def test_more_simulations_than_its_bound_are_found():
    class Modest(Halves):
        def planned_simulations(self, length: int) -> None:
            return None

        def most_simulations(self, length: int) -> int:
            return 1

    assert broken(Modest()) == ["plans-are-kept"]


def test_no_plan_is_not_a_violation():
    class Spontaneous(Halves):
        def planned_simulations(self, length: int) -> None:
            return None

    assert broken(Spontaneous()) == []


def test_scripted_simulations_are_what_was_written_down():
    simulate = ScriptedSimulate(demonstration(3), lambda state, index: None if index == 1 else state == 2)
    early, late = asyncio.run(simulate(1, 3)), asyncio.run(simulate(2, 3))
    assert [(len(run.steps), simulate.succeeded(run)) for run in (*early, *late)] == [
        (1, False),
        (1, False),
        (2, True),
        (2, True),
    ]
    assert len({run.id for run in (*early, *late)}) == 4
    assert simulate.asked == [(1, 3), (2, 3)]


def test_simulations_that_nobody_looks_at_are_reported():
    class Wasteful(Halves):
        def planned_simulations(self, length: int) -> dict[int, int] | None:
            return dict.fromkeys(self.states(length), 3)

        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
            states = self.states(len(trajectory.steps))
            found = [await simulate(state, 3) for state in states]
            return self.segments(states, [self.won(runs, simulate) for runs in found])

    assert broken(Wasteful()) == ["every-simulation-counts"]


class Hashed(Halves):
    """Decides by hash()."""

    def segments(self, states: Sequence[int], won: Sequence[bool | None]) -> list[Segment]:
        return [
            Segment(start=k, end=k + 1, verdict=(Verdict.HARMFUL, Verdict.NEUTRAL)[hash(f"{k} of {each.end}") % 2])
            for each in super().segments(states, won)
            for k in range(each.end)
        ]


def test_verdicts_by_hash_are_reported():
    assert broken(Hashed()) == ["equal-in-another-process"]


def test_an_attributor_that_does_not_end_is_reported():
    class Endless(Halves):
        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
            found, states = [], set(range(len(trajectory.steps)))
            while len(found) != len(states) or len(states) == 1:  # a trajectory of one action never gets there
                found = [await simulate(state) for state in sorted(states)]
            return []

        def planned_simulations(self, length: int) -> None:
            return None

    (found,) = attributor_violations(Endless())
    assert "10,000" in found.actual


@pytest.mark.parametrize(
    ("outcomes", "rate"), [([True, False, None], 0.5), ([None] * 3, None), ([False] * 3, 0.0), ([True] * 3, 1.0)]
)
def test_a_success_rate_leaves_out_lost_simulations(outcomes, rate):
    simulate = ScriptedSimulate(demonstration(3), lambda state, index: outcomes[index])
    assert asyncio.run(simulate.success_rate(1, 3)) == rate
    assert simulate.asked == [(1, 3)]


def test_an_attributor_without_async_is_told_so():
    class Plain(Attributor):
        def attribute(self, trajectory, simulate):
            return []

    (found,) = attributor_violations(Plain())
    assert found.code == "results-are-segments"
    assert "async def" in found.fix


def test_an_exception_is_reported_with_the_trajectory_that_it_was_raised_for():
    class Halving(Attributor):
        async def attribute(self, trajectory, simulate):
            return [Segment(start=0, end=len(trajectory.steps) // 2, verdict="neutral")]

    (found,) = attributor_violations(Halving())
    assert "'end' of Segment" in found.actual
    assert found.actual.endswith("with a trajectory of 1 action")
    assert found.where.startswith(__file__)


def test_a_trajectory_without_actions_is_not_attributed():
    class Confident(Attributor):
        async def attribute(self, trajectory, simulate):
            return [Segment(start=0, end=len(trajectory.steps), verdict="neutral")]

    assert attributor_violations(Confident()) == []
    assert asyncio.run(attribution_by(Confident(), demonstration(0), None)).segments == ()


def test_an_attributor_that_compares_states_looks_at_all_simulations():
    class Drops(Attributor):
        async def attribute(self, trajectory, simulate):
            rates = [await simulate.success_rate(k, 2) for k in range(len(trajectory.steps))]
            return [
                Segment(start=k, end=k + 1, verdict="harmful")
                for k, (before, after) in enumerate(itertools.pairwise(rates))
                if before is not None and after is not None and after < before
            ]

    assert attributor_violations(Drops()) == []


def test_an_attributor_that_does_not_say_that_it_needs_scores_is_reported():
    class Scoring(Attributor):
        needed: bool = False

        @property
        def needs_scores(self):
            return self.needed

        async def attribute(self, trajectory, simulate):
            await simulate.score(0, trajectory.actions[:1])
            return []

    assert broken(Scoring()) == ["scores-are-announced"]
    assert broken(Scoring(needed=True)) == []
