from math import ceil, log2

import pytest
from eef_attribution.bisect import BisectAttributor
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.testing.simulate import demonstration


@pytest.mark.parametrize("flip", [1, 2, 9, 16, 31])
def test_one_change_is_found_exactly_from_few_states(tried, flip):
    found = tried(BisectAttributor(simulations=1, audits=0), [0.0] * flip + [1.0] * (32 - flip))
    assert found.verdicts[flip - 1] == "beneficial"
    assert [v for k, v in enumerate(found.verdicts) if k not in (flip - 1, 31)] == ["neutral"] * 30
    assert len(found.played) <= 2 + ceil(log2(32))


def test_a_fall_is_harmful_and_needs_recovery(tried):
    found = tried(BisectAttributor(simulations=1, audits=0), [1.0] * 5 + [0.0] * 5)
    assert found.attribution.needing_recovery == (5,)


@given(chances=st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=40), audits=st.integers(0, 5))
def test_without_noise_every_claim_is_one_action_and_true(tried, chances, audits):
    found = tried(BisectAttributor(simulations=1, audits=audits), chances)
    for segment in found.attribution.segments:
        if segment.verdict.value in ("beneficial", "harmful"):
            assert segment.end == segment.start + 1
            assert chances[segment.end] - chances[segment.start] == segment.credit


def test_changes_that_cancel_are_found_where_an_audit_lies_between(tried):
    chances = [0.0] * 10 + [1.0] * 15 + [0.0] * 10
    assert "beneficial" not in tried(BisectAttributor(simulations=1, audits=0), chances).verdicts
    audited = tried(BisectAttributor(simulations=1, audits=3), chances)
    assert (audited.verdicts[9], audited.verdicts[24]) == ("beneficial", "harmful")


@given(length=st.integers(0, 50), audits=st.integers(0, 60))
def test_audits_are_distinct_states_between_the_ends(length, audits):
    states = BisectAttributor(audits=audits).states(demonstration(length))
    assert states == sorted(set(states))
    assert set(states) <= set(range(length))
    assert len(states) == min(length, 2 + min(audits, max(0, length - 2)))


def test_a_state_whose_simulations_are_lost_leaves_what_is_beside_it_unknown(tried):
    found = tried(
        BisectAttributor(simulations=2, audits=0), [0.0] * 4 + [1.0] * 4, lost=lambda state, index: state == 3
    )
    assert found.verdicts[:3] == ["unknown"] * 3  # state 3 is the first middle
    assert "beneficial" not in found.verdicts[:7]


def test_in_the_corridor_what_is_called_harmful_or_beneficial_is(corridor):
    claims = right = 0
    attributions = corridor.attribute(BisectAttributor(simulations=9))
    for attribution, source in zip(attributions, corridor.demonstrations, strict=True):
        chances = corridor.chances(source)
        for value in attribution.values:
            assert value.low - 0.15 <= chances[value.state] <= value.high + 0.15  # 95 % intervals; a margin for all
        for segment in attribution.segments:
            if segment.verdict.value in ("beneficial", "harmful"):
                claims += 1
                right += (chances[segment.end] - chances[segment.start]) * segment.credit > 0
    assert claims >= 5
    assert right >= 0.8 * claims
