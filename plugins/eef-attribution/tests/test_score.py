import asyncio

import pytest
from eef_attribution.score import ScoreAttributor

from eef_framework.rollout.attribution import attribution_of
from eef_framework.testing.simulate import ScriptedSimulate, demonstration


def verdicts(given, **settings):
    trajectory = demonstration(len(given))
    steps = tuple(s.changed(reward=r) for s, r in zip(trajectory.steps, given, strict=True))
    trajectory = trajectory.changed(steps=steps)
    simulate = ScriptedSimulate(trajectory, lambda state, index: True)
    found = attribution_of(trajectory, asyncio.run(ScoreAttributor(**settings).attribute(trajectory, simulate)))
    assert simulate.asked == []
    return [(found.verdict(k).value[0], segment.credit) for k, segment in enumerate(found.segments)]


def test_gains_are_credits():
    assert verdicts([0.0, 0.5, -0.25, 0.0]) == [("n", 0.0), ("b", 0.5), ("h", -0.25), ("n", 0.0)]


def test_totals_are_compared_with_the_step_before():
    assert verdicts([0.1, 0.1, 0.0, 1.0], rewards="totals") == [
        ("b", 0.1),
        ("n", 0.0),
        ("h", -0.1),
        ("b", 1.0),
    ]


@pytest.mark.parametrize("rewards", [[], [0.0], [1.0], [0.0, 0.0, 1.0]])
def test_where_only_the_end_is_rewarded_nothing_is_known(rewards):
    assert verdicts(rewards) == [("u", None)][: len(rewards)]
