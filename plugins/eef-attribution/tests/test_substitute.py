import pytest
from eef_attribution.substitute import SubstituteAttributor, read_action
from pydantic import ValidationError

from eef_framework.testing.corridor import best_action


def test_in_the_corridor_the_experts_actions_are_tried_in_the_agents_failures(corridor):
    found = corridor.attribute(SubstituteAttributor(simulations=3))
    tried = [segment for attribution in found for segment in attribution.segments]
    assert {segment.verdict.value for segment in tried} == {"beneficial", "unknown"}
    by_id = {row.id: row for row in corridor.rows.rows}
    for attribution, source in zip(found, corridor.demonstrations, strict=True):
        for probe in attribution.probes:
            (action,) = probe.inserted  # of the demonstration, in a state of the demonstration
            before = source.initial.text
            if probe.trajectory:  # else it is the initial state, which all episodes share
                failure = by_id[probe.trajectory]
                assert (failure.reward < 1.0, failure.actor) == (True, "agent/test")
                assert failure.steps[probe.state - 1].action != action
                before = failure.observation(probe.state - 1).text
            assert action in [s.action for k, s in enumerate(source.steps) if source.observation(k).text == before]


def test_in_the_corridor_other_actions_show_what_harmed_the_agents_failures(corridor):
    failures = corridor.agent_failures()
    assert failures
    found = corridor.attribute(SubstituteAttributor(simulations=3, decide="majority"), failures)
    harmful = [s for each in found for s in each.segments if s.verdict.value == "harmful"]
    assert harmful
    assert all(segment.credit < -0.5 and segment.evidence.high <= 0 for segment in harmful)
    assert all(segment.evidence.successes > segment.evidence.simulations / 2 for segment in harmful)


def test_a_success_of_the_agent_is_left_alone(corridor):
    corridor.agent_failures()
    wins = [row for row in corridor.rows.rows if row.origin is None and row.reward == 1.0]
    assert all(
        (attribution.segments, attribution.probes) == ((), ())
        for attribution in corridor.attribute(SubstituteAttributor(), wins[:5])
    )


def test_the_number_of_exchanges_of_one_action_is_limited(corridor):
    for attribution in corridor.attribute(SubstituteAttributor(tries=1, simulations=2)):
        assert all(segment.evidence.simulations <= 2 for segment in attribution.segments)


@pytest.mark.parametrize("decide", ["significant", "gap"])
def test_rules_that_compare_two_states_are_refused(decide):
    with pytest.raises(ValidationError):
        SubstituteAttributor(simulations=9, decide=decide)


def test_a_judge_proposes_other_actions(corridor, judge, answers):
    failures = corridor.agent_failures()[:4]
    wanted = {failure.observation(k).text for failure in failures for k in range(len(failure.steps))}

    def best(question):
        (last,) = [text for text in wanted if " ".join(text.split()) == question.split("\n\n")[-2].split("\n")[-1]]
        return f"Action: {best_action(last)}"

    answers(best)
    found = corridor.attribute(SubstituteAttributor(judge=judge, simulations=3, tries=1), failures)
    tried = [probe for attribution in found for probe in attribution.probes]
    assert tried
    harmful = [segment for each in found for segment in each.segments if segment.verdict.value == "harmful"]
    assert len(harmful) > len(failures) / 2


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("Action: go[east]", "go[east]"),
        ("The door is east.\nAction: `go[east]`", "go[east]"),
        ("**Action:** go[east]", "go[east]"),
        ("go[east]", "go[east]"),
        ("Action: go[west]\nNo:\nAction: go[east]", "go[east]"),
        ("I would go east,\nor west.", ""),
        ("", ""),
    ],
)
def test_the_proposed_action_is_read(text, action):
    assert read_action(text) == action


@pytest.mark.parametrize(
    ("answer", "shown"), [(None, "the server hung up"), ("", "''"), ("Action: fly[home]", "'Action: fly[home]'")]
)
def test_what_is_not_an_action_is_not_tried_and_the_answer_is_quoted(corridor, judge, answers, answer, shown):
    answers(answer)
    failures = corridor.agent_failures()[:3]
    with_judge = corridor.attribute(SubstituteAttributor(judge=judge), failures)
    without = corridor.attribute(SubstituteAttributor(), failures)
    for each, alone, failure in zip(with_judge, without, failures, strict=True):
        tried = {segment.start for segment in alone.segments}
        assert [segment for segment in each.segments if segment.start in tried] == list(alone.segments)
        others = [segment for segment in each.segments if segment.start not in tried]
        assert len(others) + len(tried) == len(failure.steps)
        assert all(segment.verdict.value == "unknown" and shown in segment.reason for segment in others)
    assert all(each.cost.computed_tokens > 0 for each in with_judge)
