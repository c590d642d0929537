"""How many episodes an exploration will play."""

from pathlib import Path
from typing import Any

import pytest
from eef_attribution.interval import IntervalAttributor

from eef_framework.config.schema import Explore
from eef_framework.pipeline import RunContext
from eef_framework.pipeline.attribution import planned_by_task
from eef_framework.pipeline.exploration_plan import ExplorationPlan
from eef_framework.pipeline.rows import Rows
from eef_framework.plugins import Registry
from eef_framework.records import Spending, Trajectory
from eef_framework.testing.simulate import demonstration
from eef_framework.testing.small_run import small_config


@pytest.mark.parametrize("initial", [1, 2, 8])
def test_episodes_from_the_start_take_nothing_from_what_is_planned_in_later_states(initial: int) -> None:
    (planned,) = planned_by_task(
        [demonstration(6)], IntervalAttributor(probes=5, simulations=1), Explore(simulations=initial)
    ).values()
    assert planned == 5


def test_demonstrations_of_one_task_share_the_episodes_from_its_start() -> None:
    first = demonstration(6)
    attributor = IntervalAttributor(probes=5, simulations=4)
    (planned,) = planned_by_task([first, first.changed(id="other")], attributor, Explore(simulations=1)).values()
    assert planned == 3 + 2 * 5 * 4


def test_a_matched_exploration_plays_nothing_where_the_other_spent_nothing(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"attribute": "none", "matched": True}
    config = small_config(4, 2, attributor=None, explore=settings)
    demonstrations = [demonstration(2), demonstration(3)]
    with RunContext(config, Registry()) as context:
        plan = ExplorationPlan(context, config, Rows(tmp_path / "rows", Trajectory), None, None, in_run=False)
        found = plan.from_start(demonstrations, {"made-up-2": Spending(simulations=7)})
    assert found == {"made-up-2": 7, "made-up-3": 0}
