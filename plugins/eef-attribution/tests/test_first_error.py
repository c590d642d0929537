import pytest
from eef_attribution.first_error import FirstErrorAttributor, read_first_mistake
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("First mistake: 3", 2),
        ("first mistake: step 3", 2),
        ("**First mistake:** 3", 2),
        ("The first mistake was step 3.", 2),
        ("3", 2),
        ("Step 3.", 2),
        ("Step 2 looks odd, but works.\nFirst mistake: 3", 2),
        ("First mistake: none", None),
        ("none", None),
        ("First mistake: 3\nFirst mistake: 4", None),
        ("First mistake: 0", None),
        ("First mistake: 6", None),
        ("Steps 2 and 3 are wrong", None),
        ("", None),
    ],
)
def test_the_named_step_is_read_if_there_is_one(text, index):
    assert read_first_mistake(text, 5) == index


@given(text=st.text(max_size=80), length=st.integers(0, 9))
def test_no_answer_names_a_step_that_does_not_exist(text, length):
    found = read_first_mistake(text, length)
    assert found is None or 0 <= found < length


def test_a_mistake_that_the_agent_gets_around_is_harmful_and_the_prefix_is_masked(tried, judge, answers):
    answers("First mistake: 3")
    found = tried(FirstErrorAttributor(judge=judge), [1.0] * 5)
    assert found.played == {2: 4}
    assert found.verdicts == ["neutral", "neutral", "harmful", "unknown", "unknown"]
    assert found.attribution.needing_recovery == (3,)
    named = found.attribution.segments[1]
    assert (named.credit, named.evidence.simulations, named.evidence.successes) == (-1.0, 4, 4)
    assert named.evidence.tokens == 11


def test_where_the_agent_fails_as_well_nothing_is_known(tried, judge, answers):
    answers("First mistake: 3")
    assert set(tried(FirstErrorAttributor(judge=judge), [0.0] * 5).verdicts) == {"unknown"}


@pytest.mark.parametrize(("answer", "shown"), [("none at all", "'none at all'"), (None, "the server hung up")])
def test_without_a_named_step_nothing_is_simulated_and_the_answer_is_quoted(tried, judge, answers, answer, shown):
    answers(answer)
    found = tried(FirstErrorAttributor(judge=judge), [1.0] * 5)
    assert (found.played, set(found.verdicts)) == ({}, {"unknown"})
    assert shown in found.attribution.segments[0].reason


def test_in_the_corridor_successes_are_not_asked_about(corridor, judge, answers):
    asked = answers("First mistake: 1")
    attributions = corridor.attribute(FirstErrorAttributor(judge=judge))
    failed = [source.reward < 1.0 for source in corridor.demonstrations]
    assert len(asked) == sum(failed)
    assert [bool(attribution.segments) for attribution in attributions] == failed


@pytest.mark.parametrize("decide", ["significant", "gap"])
def test_rules_that_compare_two_states_are_refused(judge, decide):
    with pytest.raises(ValidationError):
        FirstErrorAttributor(judge=judge, simulations=9, decide=decide)
