from itertools import pairwise

import pytest
from eef_attribution.propose_verify import ProposeVerifyAttributor, merged
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.records import Segment, Verdict


def test_only_the_ends_of_the_proposed_segment_are_simulated_from(tried, judge, answers):
    answers("1-2: unnecessary\n3-4: good\n5-9: unnecessary")
    attributor = ProposeVerifyAttributor(proposer={"name": "judge", "judge": judge})
    found = tried(attributor, [0.0] * 4 + [1.0] * 6)
    assert found.played == {2: 8, 4: 8}
    assert [(s.start, s.end, s.verdict.value) for s in found.attribution.segments] == [(2, 4, "beneficial")]
    assert found.attribution.segments[0].evidence.tokens == 11  # the judge's


def test_simulations_overrule_the_proposal(tried, judge, answers):
    answers("3-4: good")
    attributor = ProposeVerifyAttributor(proposer={"name": "judge", "judge": judge})
    assert tried(attributor, [1.0] * 4 + [0.0] * 6).verdicts[2:4] == ["harmful"] * 2
    assert tried(attributor, [0.0] * 10).verdicts[2:4] == ["neutral"] * 2


def test_long_segments_are_cut_and_the_number_of_proposals_is_limited(tried, judge, answers):
    answers("1-10: good\n11: unnecessary\n12-14: mistake")
    proposer = {"name": "judge", "judge": judge}
    assert set(tried(ProposeVerifyAttributor(proposer=proposer), [0.0] * 20).played) == {0, 4}
    two = tried(ProposeVerifyAttributor(proposer=proposer, proposals=2, longest=2), [0.0] * 20)
    assert set(two.played) == {0, 2, 11, 13}


def test_the_last_action_can_not_be_verified(tried, judge, answers):
    answers("5: mistake")
    found = tried(ProposeVerifyAttributor(proposer={"name": "judge", "judge": judge}), [1.0] * 5)
    assert (found.played, set(found.verdicts)) == ({}, {"unknown"})


def test_without_a_proposal_nothing_is_simulated(tried):
    found = tried(ProposeVerifyAttributor(proposer="none"), [0.5] * 5)
    assert (found.played, set(found.verdicts)) == ({}, {"unknown"})


@pytest.mark.parametrize(("answer", "tokens", "shown"), [("Hm.", 11, "'Hm.'"), (None, 5, "the server hung up")])
def test_a_judge_that_proposes_nothing_is_quoted(tried, judge, answers, answer, tokens, shown):
    answers(answer)
    found = tried(ProposeVerifyAttributor(proposer={"name": "judge", "judge": judge}), [0.5] * 5)
    (segment,) = found.attribution.segments
    assert (found.played, set(found.verdicts)) == ({}, {"unknown"})
    assert (segment.evidence.tokens, segment.credit) == (tokens, None)
    assert shown in segment.reason


verdicts = st.sampled_from(list(Verdict))


@given(verdicts=st.lists(verdicts, max_size=20))
def test_neighbours_with_the_same_verdict_are_joined(verdicts):
    single = [Segment(start=k, end=k + 1, verdict=v, credit=0.5) for k, v in enumerate(verdicts)]
    joined = merged(reversed(single))
    assert [s.verdict for s in joined for _ in range(s.start, s.end)] == verdicts
    assert sum(s.credit for s in joined) == pytest.approx(0.5 * len(verdicts))
    assert all(a.verdict is not b.verdict or a.verdict is Verdict.UNKNOWN for a, b in pairwise(joined))


def test_in_the_corridor_cheap_proposals_are_verified(corridor):
    found = corridor.attribute(ProposeVerifyAttributor(proposer={"name": "anchor", "gap": 0.3}))
    verified = [[s for s in attribution.segments if s.credit is not None] for attribution in found]
    assert any(verified)
    assert all(len(attribution.probes) in (0, 2) for attribution in found)
    for segments, source in zip(verified, corridor.demonstrations, strict=True):
        chances = corridor.chances(source)
        for segment in segments:
            assert abs(chances[segment.end] - chances[segment.start] - segment.credit) < 0.6
