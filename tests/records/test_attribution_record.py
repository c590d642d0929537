import pytest
from hypothesis import given
from pydantic import ValidationError

from eef_framework.records import Attribution, Segment, Verdict
from eef_framework.testing.strategies import attributions


def attribution(*segments: tuple[int, int], length: int = 6) -> Attribution:
    return Attribution(
        trajectory="x",
        length=length,
        segments=tuple(Segment(start=start, end=end, verdict=Verdict.HARMFUL) for start, end in segments),
    )


@pytest.mark.parametrize(
    "segments",
    [
        [(0, 3), (2, 4)],  # overlap
        [(3, 4), (0, 2)],  # out of order
        [(0, 7)],  # beyond the end
        [(2, 2)],  # empty
        [(3, 1)],  # backwards
    ],
)
def test_segments_that_do_not_fit_are_refused(segments):
    with pytest.raises(ValidationError) as caught:
        attribution(*segments)
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("value_error", ())]


def test_segments_may_touch_and_leave_gaps():
    assert attribution((0, 2), (2, 3), (5, 6)).needing_recovery == (2, 3, 6)


def test_an_action_no_segment_covers_is_unknown():
    verdicts = [attribution((1, 3)).verdict(action).value for action in range(6)]
    assert verdicts == ["unknown", "harmful", "harmful", "unknown", "unknown", "unknown"]


@given(attributions())
def test_each_action_has_the_verdict_of_the_one_segment_that_covers_it(drawn):
    for action in range(drawn.length):
        covering = [segment.verdict for segment in drawn.segments if action in range(segment.start, segment.end)]
        assert [drawn.verdict(action)] == (covering or [Verdict.UNKNOWN])
