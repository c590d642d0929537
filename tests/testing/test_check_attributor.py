"""Each rule is tested against an attributor that breaks it, with the report it gets."""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from eef_framework.interfaces import Attributor, Simulate
from eef_framework.records import Attribution, Probe, Segment, Trajectory, Verdict
from eef_framework.testing.conformance import Nonconformance, attributor_violations, check_attributor
from eef_framework.testing.simulate import ScriptedSimulate, demonstration


class Halves(Attributor):
    """Compares the start with the middle: the smallest attributor that keeps its contract."""

    name: ClassVar[str] = "halves"

    def states(self, length: int) -> list[int]:
        return [0, length // 2] if length > 1 else []

    def planned(self, length: int) -> dict[int, int] | None:
        return dict.fromkeys(self.states(length), 1)

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Attribution:
        length = len(trajectory.steps)
        found = await asyncio.gather(*(simulate(state) for state in self.states(length)))
        probes = tuple(map(self.probe, self.states(length), found))
        return Attribution(
            trajectory=trajectory.id,
            length=length,
            segments=tuple(self.segments(probes)),
            probes=probes,
            method=self.name,
        )

    def segments(self, probes: Sequence[Probe]) -> list[Segment]:
        if len(probes) < 2 or not all(probe.simulations for probe in probes):
            return []
        first, second = probes
        gain = second.successes - first.successes
        verdict = {1: Verdict.BENEFICIAL, 0: Verdict.NEUTRAL, -1: Verdict.HARMFUL}[gain]
        return [Segment(start=0, end=second.state, verdict=verdict)]

    def probe(self, state: int, runs: Sequence[Trajectory]) -> Probe:
        won = sum(run.reward == 1.0 for run in runs)
        return Probe(state=state, simulations=tuple(run.id for run in runs), successes=won)


def report(attributor: Attributor) -> str:
    return "\n".join(map(str, attributor_violations(attributor)))


def changing(**changes: Any) -> Attributor:
    """Return an attributor that is right but for some fields of its result."""

    class Changing(Halves):
        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Attribution:
            return (await super().attribute(trajectory, simulate)).changed(**changes)

    return Changing()


def test_an_attributor_that_keeps_its_contract_passes():
    check_attributor(Halves())


def test_a_failing_check_raises_a_report():
    with pytest.raises(Nonconformance, match=r"attributor 'halves' breaks 1 of .*\n1\. An attribution"):
        check_attributor(changing(method="another"))


def test_an_attribution_of_another_trajectory_is_told():
    assert report(changing(trajectory="other")) == (
        "An attribution belongs to the trajectory it was asked for (a trajectory of 0 actions)\n"
        "  expected: an Attribution of trajectory 'expert/made-up/0' with length 0\n"
        "  actual:   one of trajectory 'other' with length 0\n"
        "  fix:      Return Attribution(trajectory=trajectory.id, length=len(trajectory.steps), ...)."
    )


def test_an_attribution_of_another_length_is_told():
    assert "  actual:   one of trajectory 'expert/made-up/0' with length 99\n" in report(changing(length=99))


def test_something_else_than_an_attribution_is_told():
    class Terse(Halves):
        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Any:
            return ["beneficial"]

    assert "  actual:   list ['beneficial']\n" in report(Terse())


def test_an_attribution_signed_by_another_is_told():
    assert report(changing(method="thirds")) == (
        "An attribution says which method made it, or leaves that to the run, but never names another "
        "(a trajectory of 0 actions)\n"
        "  expected: method='halves' or none\n"
        "  actual:   method='thirds'\n"
        "  fix:      Set Attribution(method=self.component_name())."
    )


def test_a_result_that_depends_on_who_ends_first_is_told():
    class Hasty(Halves):
        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Attribution:
            finished: list[int] = []

            async def note(state: int) -> None:
                await simulate(state)
                finished.append(state)

            await asyncio.gather(*map(note, self.states(len(trajectory.steps))))
            verdict = Verdict.HARMFUL if finished == sorted(finished) else Verdict.NEUTRAL
            segments = (Segment(start=0, end=1, verdict=verdict),) if len(finished) > 1 else ()
            good = await Halves().attribute(trajectory, ScriptedSimulate(trajectory, lambda state, index: None))
            return good.changed(segments=segments, probes=())

    text = report(Hasty())
    assert "The result depends on the outcomes, not on which simulation ends first or what else is attributed" in text
    assert "Collect results in order of state, as asyncio.gather does, and keep nothing between calls." in text


def test_a_result_that_depends_on_earlier_calls_is_told():
    class Learning(Halves):
        _calls: int = 0

        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Attribution:
            self._calls += 1
            return (await super().attribute(trajectory, simulate)).changed(info={"calls": self._calls})

    assert report(Learning()).startswith("The result depends on the outcomes, not on which simulation ends first")


def test_lost_simulations_that_count_as_failures_are_told():
    class Careless(Halves):
        def segments(self, probes: Sequence[Probe]) -> list[Segment]:
            if len(probes) < 2:
                return []
            gain = probes[1].successes - probes[0].successes
            verdict = {1: Verdict.BENEFICIAL, 0: Verdict.NEUTRAL, -1: Verdict.HARMFUL}[gain]
            return [Segment(start=0, end=probes[1].state, verdict=verdict)]

    assert report(Careless()) == (
        "Simulations that were lost to the infrastructure are never evidence "
        "(a trajectory of 2 actions, actions 0 to 0, all simulations lost)\n"
        "  expected: verdict unknown\n"
        "  actual:   verdict neutral\n"
        "  fix:      Compare the number of simulations returned with the number asked for; unknown where it matters."
    )


def test_an_attributor_that_simulates_nothing_may_have_its_own_opinion():
    class Opinionated(Halves):
        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Attribution:
            length = len(trajectory.steps)
            segments = (Segment(start=0, end=length, verdict=Verdict.BENEFICIAL),) if length else ()
            return Attribution(trajectory=trajectory.id, length=length, segments=segments, method=self.name)

        def planned(self, length: int) -> dict[int, int]:
            return {}

    assert report(Opinionated()) == ""


def test_an_attributor_that_needs_every_simulation_is_told():
    class Needy(Halves):
        def probe(self, state: int, runs: Sequence[Trajectory]) -> Probe:
            return super().probe(state, [runs[0]])

    text = report(Needy())
    assert "Simulations that were lost to the infrastructure are never evidence (" in text
    assert "  actual:   IndexError: list index out of range\n" in text


def test_simulations_from_states_that_do_not_exist_are_told():
    class Beyond(Halves):
        def states(self, length: int) -> list[int]:
            return [0, length] if length > 1 else []

    assert "IndexError: simulations set out from states 0 to 1 of this trajectory, not from 2" in report(Beyond())


def test_a_plan_that_is_not_kept_is_told():
    class Overbooked(Halves):
        def planned(self, length: int) -> dict[int, int]:
            return dict.fromkeys(range(length), 1)

    assert report(Overbooked()) == (
        "What was planned for a length is what is simulated (a trajectory of 1 actions)\n"
        "  expected: simulations {0: 1}\n"
        "  actual:   simulations {}\n"
        "  fix:      Let planned() and attribute() take their states from one method, or return None from planned()."
    )


def test_no_plan_is_no_violation():
    class Spontaneous(Halves):
        def planned(self, length: int) -> None:
            return None

    assert report(Spontaneous()) == ""


@pytest.mark.parametrize(
    ("probe", "actual"),
    [
        (Probe(state=1, simulations=("invented",), successes=0), "['invented'] with 0 successes"),
        (Probe(state=0, simulations=(), successes=3), "[] with 3 successes"),
        (Probe(state=0, simulations=("expert/made-up/2/s1/0",)), "['expert/made-up/2/s1/0'] with 0 successes"),
    ],
    ids=["invented", "miscounted", "of another state"],
)
def test_probes_that_did_not_take_place_are_told(probe, actual):
    class Inventive(Halves):
        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Attribution:
            good = await super().attribute(trajectory, simulate)
            return good.changed(probes=(probe,)) if len(trajectory.steps) == 2 else good

    text = report(Inventive())
    assert text.startswith("Probes name simulations that took place from their state, and count those that succeeded")
    assert f"  actual:   {actual}\n" in text


def test_scripted_simulations_are_what_was_written_down():
    simulate = ScriptedSimulate(demonstration(3), lambda state, index: None if index == 1 else state == 2)
    early, late = asyncio.run(simulate(1, 3)), asyncio.run(simulate(2, 3))
    assert [(run.id, len(run.steps), simulate.succeeded(run)) for run in (*early, *late)] == [
        ("expert/made-up/3/s1/0", 1, False),
        ("expert/made-up/3/s1/2", 1, False),
        ("expert/made-up/3/s2/0", 2, True),
        ("expert/made-up/3/s2/2", 2, True),
    ]
    assert simulate.asked == [(1, 3), (2, 3)]
