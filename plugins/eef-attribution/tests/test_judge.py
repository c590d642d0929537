import asyncio
import json

import pytest
from eef_attribution.judge import LABELS, JudgeAttributor, read_labels
from eef_attribution.propose_verify import ProposeVerifyAttributor
from eef_attribution.sequential import SequentialAttributor
from hypothesis import given
from hypothesis import strategies as st

from eef_framework import ConfigError
from eef_framework.errors import PolicyFailure
from eef_framework.testing.conformance import check_attributor
from eef_framework.testing.simulate import ScriptedSimulate, demonstration

WANTED = {0: "good", 1: "mistake", 2: "recovery"}


@pytest.mark.parametrize(
    "text",
    [
        "1: good\n2: mistake\n3: recovery",
        "1. good\n2. mistake\n3. recovery",
        "Step 1: Good\nStep 2: MISTAKE\nStep 3: Recovery",
        "**1:** good - opens the page\n**2:** mistake, 3 items were left\n**3:** recovery",
        "- Step 1 - **good**\n- Step 2 - **mistake**\n- Step 3 - **recovery**",
        "| 1 | good |\n| 2 | mistake |\n| 3 | recovery |",
        "1) good 2) mistake 3) recovery",
        "Here are the labels:\n```\n1: good\n2: mistake\n3: recovery\n```\nLet me know!",
        json.dumps({"1": "good", "2": "mistake", "3": "recovery"}),
        json.dumps([{"step": k + 1, "label": label} for k, label in WANTED.items()]),
        json.dumps([{"step": k + 1, "label": label} for k, label in WANTED.items()], indent=2),
        "1: good\n1: good\n2: mistake\n3: recovery\n4: good\n0: mistake",
        "1: good\n2: mistake\n3: recovery\n12: good",
    ],
)
def test_labels_are_read_in_many_forms(text):
    assert read_labels(text, 3) == WANTED


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("", {}),
        ("I can't tell.", {}),
        ("1: good\n1: mistake\n2: good", {1: "good"}),  # contradicts itself
        ("1-2: good\n3: mistake", {0: "good", 1: "good", 2: "mistake"}),
        ("Steps 1 to 3: unnecessary", {0: "unnecessary", 1: "unnecessary", 2: "unnecessary"}),
        ("1: not a mistake", {}),
        ("1: better than good", {}),
        ("1: goodness", {}),
        ("version 1.2: good", {}),
    ],
)
def test_what_is_not_certain_is_not_read(text, labels):
    assert read_labels(text, 3) == labels


@given(labels=st.lists(st.sampled_from(sorted(LABELS)), max_size=30), form=st.sampled_from(["{}: {}", "Step {} - {}."]))
def test_any_labels_survive_the_round_trip(labels, form):
    text = "\n".join(form.format(k, label) for k, label in enumerate(labels, start=1))
    assert read_labels(text, len(labels)) == dict(enumerate(labels))


@given(text=st.text(alphabet=st.sampled_from("1234 :-–\n.*goodmistake{}\"',"), max_size=200), length=st.integers(0, 9))
def test_no_answer_makes_reading_fail_or_name_steps_that_do_not_exist(text, length):
    assert set(read_labels(text, length)) <= set(range(length))


@pytest.mark.parametrize(
    "text",
    [
        "<think>1: mistake</think>\n1: good",
        "1: mistake</think>1: good",
        "[THINK]1: mistake[/THINK]1: good",
        "<|channel|>analysis<|message|>1: mistake<|end|><|start|>assistant<|channel|>final<|message|>1: good",
    ],
)
def test_labels_in_reasoning_do_not_count(tried, judge, answers, text):
    answers(text)
    assert tried(JudgeAttributor(judge=judge), [0.5] * 2).verdicts == ["beneficial", "unknown"]


@pytest.mark.parametrize("text", ["<think>1: mistake, or 1: good, or", "◁think▷1: mistake"])
def test_reasoning_that_does_not_end_labels_nothing(tried, judge, answers, text):
    answers(text)
    assert tried(JudgeAttributor(judge=judge), [0.5] * 2).verdicts == ["unknown"] * 2


def test_labels_become_verdicts(tried, judge, answers):
    answers("1: good\n2: mistake\n3: recovery\n4: unnecessary")
    found = tried(JudgeAttributor(judge=judge), [0.5] * 5)
    assert found.verdicts == ["beneficial", "harmful", "beneficial", "neutral", "unknown"]
    assert found.played == {}
    assert all(segment.evidence.tokens == 11 for segment in found.attribution.segments)


def test_an_answer_without_labels_is_quoted(tried, judge, answers):
    answers("I can't tell,\n" + "not at all, " * 20)
    (segment,) = tried(JudgeAttributor(judge=judge), [0.5] * 3).attribution.segments
    assert (segment.start, segment.end, segment.verdict.value, segment.evidence.tokens) == (0, 3, "unknown", 11)
    assert "I can't tell, not at all, not" in segment.reason
    assert len(segment.reason) < 200


def test_a_lost_answer_is_not_evidence_and_is_asked_for_again(tried, judge, answers):
    attributor = JudgeAttributor(judge=judge)
    answers(None)
    found = tried(attributor, [0.5] * 3)
    assert found.verdicts == ["unknown"] * 3
    assert found.attribution.segments[0].evidence.tokens == 5
    assert "the server hung up" in found.attribution.segments[0].reason
    answers("1: good")
    assert tried(attributor, [0.5] * 3).verdicts[0] == "beneficial"


def test_a_judge_that_can_not_answer_at_all_stops_the_run(tried, judge, answers):
    def broken(question):
        raise PolicyFailure("no such model")

    answers(broken)
    with pytest.raises(PolicyFailure):
        tried(JudgeAttributor(judge=judge), [0.5] * 3)


def test_the_same_question_is_asked_once(tried, judge, answers):
    attributor, asked = JudgeAttributor(judge=judge), answers("1: good")
    tried(attributor, [0.5] * 3)
    tried(attributor, [0.5] * 3)
    assert len(asked) == 1


@pytest.mark.parametrize(("answer", "paid"), [("1: good", [[11], [], []]), (None, [[5], [5], [5]])])
def test_attributions_with_the_same_question_at_once_share_an_answer_but_no_lost_one(judge, answers, answer, paid):
    attributor, asked = JudgeAttributor(judge=judge), answers(answer)
    simulates = [ScriptedSimulate(demonstration(3), lambda state, index: True) for _ in paid]

    async def at_once():
        return await asyncio.gather(*(attributor.attribute(each.trajectory, each) for each in simulates))

    first, *others = asyncio.run(at_once())
    assert others == [first, first]
    assert [[response.computed_tokens for response in each.charged] for each in simulates] == paid
    assert len(asked) == sum(map(len, paid))


def test_an_attribution_that_is_cancelled_while_it_asks_leaves_the_question_to_the_others(judge, answers):
    started = asyncio.Event()

    def answer(question):
        started.set()
        return "1: good"

    attributor, asked = JudgeAttributor(judge=judge), answers(answer)
    simulate = ScriptedSimulate(demonstration(3), lambda state, index: True)

    async def first_cancelled():
        first, second = (asyncio.create_task(attributor.attribute(simulate.trajectory, simulate)) for _ in range(2))
        await started.wait()
        first.cancel()
        return await second

    assert len(asyncio.run(first_cancelled())) == 3
    assert len(asked) == 2


def test_the_judge_sees_the_shortest_success_of_the_task(corridor, judge, answers):
    asked = answers(lambda question: "1: good")
    corridor.attribute(JudgeAttributor(judge=judge))
    assert any("A successful attempt at the same task" in question for question in asked)
    asked = answers(lambda question: "1: good")
    corridor.attribute(JudgeAttributor(judge=judge, compare=False))
    assert not any("A successful attempt at the same task" in question for question in asked)


def test_long_observations_are_cut(tried, judge, answers):
    asked = answers("1: good")
    tried(JudgeAttributor(judge=judge, observation_chars=4), [0.5] * 2)
    assert "room ..." in asked[0]


def test_an_expert_that_is_not_a_language_model_is_refused():
    with pytest.raises(ConfigError) as caught:
        JudgeAttributor(judge={"name": "shopper"})
    assert caught.value.code == "expert-cannot-answer"
    assert caught.value.details == {"expert": "shopper"}


@pytest.mark.parametrize("answer", ["1: good\n3: mistake", "", None])
def test_it_keeps_its_contract_whatever_is_answered(judge, answers, answer):
    answers(answer)
    check_attributor(JudgeAttributor(judge=judge))


def test_settings_of_a_judge_that_change_no_result_may_differ_when_a_run_is_resumed(judge):
    asking = JudgeAttributor(judge=judge)
    proposing = ProposeVerifyAttributor(proposer=asking.settings())
    sequential = SequentialAttributor(strategy=proposing.settings())
    free = [list(each.free_settings()) for each in (asking, proposing, sequential)]
    assert free == [["judge.timeout_s"], ["proposer.judge.timeout_s"], ["strategy.proposer.judge.timeout_s"]]


def test_any_policy_can_be_asked_by_way_of_a_local_expert(tried, judge, answers):
    answers("1: mistake")
    local = {"name": "local", "policy": {"name": judge["name"].replace("RuleExpert", "RulePolicy")}}
    with JudgeAttributor(judge=local) as attributor:
        assert attributor.settings()["judge"]["style"] == "react"
        assert tried(attributor, [0.5]).verdicts == ["harmful"]
