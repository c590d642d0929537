from typing import Any

import pytest

from eef_framework.errors import AttributorFailure
from eef_framework.interfaces import Attributor, Simulate
from eef_framework.pipeline.attribution import plan_of
from eef_framework.records import Segment, Trajectory


class Planning(Attributor):
    """Plans what it is told to."""

    name = "planning"
    plan: Any = None
    """What it returns."""

    def planned_simulations(self, length: int) -> Any:
        return self.plan

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
        return []


@pytest.mark.parametrize("plan", ["1: 2", [1, 2], {"1": 2}, {1: 2.5}, 3])
def test_what_is_not_a_plan_is_refused(plan: object) -> None:
    with pytest.raises(AttributorFailure) as caught:
        plan_of(Planning(plan=plan), 4)
    assert caught.value.code == "not-a-plan"


@pytest.mark.parametrize("plan", [None, {}, {1: 2, 3: 0}])
def test_a_plan_is_passed_on(plan: dict[int, int] | None) -> None:
    assert plan_of(Planning(plan=plan), 4) == plan


def test_a_plan_may_have_integers_that_are_not_ints() -> None:
    class Number:
        """Stands for an integer of numpy."""

        def __index__(self) -> int:
            return 2

    assert plan_of(Planning(plan={Number(): Number()}), 4) == {2: 2}
