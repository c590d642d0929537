from math import inf, log

import pytest
from eef_attribution.entropy import EntropyAttributor, relative_entropy
from eef_attribution.propose_verify import ProposeVerifyAttributor
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.testing.simulate import demonstration


@pytest.mark.parametrize(
    ("logprobs", "entropy"),
    [
        ([0.0], 0.0),
        ([log(0.5), log(0.5)], 1.0),
        ([log(0.25), log(0.25)], 1.0),  # they needn't add up to 1
        ([0.0, -inf], 0.0),
        ([-inf, -inf], 0.0),
        ([log(0.8), log(0.1), log(0.1)], (0.8 * log(1 / 0.8) + 0.2 * log(10)) / log(3)),
        ([-2000.0, -2000.0], 1.0),
    ],
)
def test_entropy_is_a_share_of_the_highest(logprobs, entropy):
    assert relative_entropy(logprobs) == pytest.approx(entropy)


@given(logprobs=st.lists(st.floats(-1e4, 0) | st.just(-inf), max_size=30))
def test_entropy_lies_between_0_and_1(logprobs):
    assert 0 <= relative_entropy(logprobs) <= 1


def test_where_no_actions_are_listed_nothing_is_known(tried):
    assert set(tried(EntropyAttributor(), [0.5] * 4).verdicts) == {"unknown"}


def test_too_many_actions_are_not_scored():
    trajectory = demonstration(1)
    seen = trajectory.initial.changed(actions=("a", "b", "c"))
    trajectory = trajectory.changed(initial=seen)
    assert EntropyAttributor(most=4).actions(trajectory, 0) == ("a", "b", "c", "go[0]")
    assert EntropyAttributor(most=3).actions(trajectory, 0) == ()


def test_in_the_corridor_every_admissible_action_counts(corridor):
    # Skill 0.8 and two actions: 0.9 and 0.1; three: 0.867 and twice 0.067.
    two, three = relative_entropy([log(0.9), log(0.1)]), relative_entropy([log(0.867), log(0.067), log(0.067)])
    (threshold,) = {(two + three) / 2}
    found = corridor.attribute(EntropyAttributor(threshold=min(two, three) - 0.01))
    assert {s.verdict.value for attribution in found for s in attribution.segments} <= {"beneficial", "neutral"}
    split = corridor.attribute(EntropyAttributor(threshold=threshold))
    for attribution, source in zip(split, corridor.demonstrations, strict=True):
        for segment in attribution.segments:
            count = len(set(source.observation(segment.start).actions) | {source.steps[segment.start].action})
            if count in (2, 3):
                assert (segment.verdict.value == "beneficial") == ((two if count == 2 else three) > threshold)


def test_it_can_propose_what_simulations_verify(corridor):
    found = corridor.attribute(ProposeVerifyAttributor(proposer="likelihood", simulations=2))
    assert any(attribution.probes for attribution in found)
    assert all(len(attribution.probes) in (0, 2) for attribution in found)
