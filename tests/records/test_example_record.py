import pytest
from pydantic import ValidationError

from eef_framework.records import Example, Message

ASK, SAY = Message(role="user", content="page"), Message(role="assistant", content="go", weight=1.0)
RULES = Message(role="system", content="rules")


def mistakes(**fields):
    with pytest.raises(ValidationError) as caught:
        Example(**{"id": "e", "messages": (ASK, SAY), **fields})
    return [(error["type"], error["loc"][0]) for error in caught.value.errors()]


@pytest.mark.parametrize("messages", [(ASK, SAY), (RULES, ASK, SAY), (RULES, ASK, SAY, ASK, SAY)])
def test_perhaps_rules_and_then_user_and_assistant_in_turn(messages):
    assert Example(id="e", messages=messages, rejected=messages).trained_turns == messages.count(SAY)


@pytest.mark.parametrize(
    "messages",
    [
        (SAY,),
        (SAY, ASK, SAY),
        (RULES, SAY),
        (ASK, RULES, SAY),
        (ASK, ASK, SAY),
        (ASK, SAY, SAY),
        (RULES, RULES, ASK, SAY),
    ],
)
@pytest.mark.parametrize("side", ["messages", "rejected"])
def test_another_order_is_refused(messages, side):
    assert mistakes(**{side: messages}) == [("role-order", side)]


@pytest.mark.parametrize("messages", [(ASK,), (RULES, ASK), (RULES,), (ASK, SAY, ASK)])
@pytest.mark.parametrize("side", ["messages", "rejected"])
def test_a_conversation_ends_with_an_answer(messages, side):
    assert mistakes(**{side: messages}) == [("no-answer-at-end", side)]


def test_an_empty_conversation_is_refused_but_a_worse_attempt_need_not_be_there():
    assert mistakes(messages=()) == [("empty-conversation", "messages")]
    assert Example(id="e", messages=(ASK, SAY), rejected=()).rejected == ()


@pytest.mark.parametrize("role", ["user", "system"])
def test_nobody_but_the_assistant_has_a_weight(role):
    assert mistakes(messages=({"role": role, "content": "page", "weight": 1.0}, SAY)) == [
        ("weight-not-assistant", "messages")
    ]


@pytest.mark.parametrize("weight", [-1.0, float("inf"), float("nan")])
def test_a_weight_is_a_number_from_0_on(weight):
    with pytest.raises(ValidationError) as caught:
        Message(role="assistant", content="go", weight=weight)
    assert [error["loc"] for error in caught.value.errors()] == [("weight",)]


def test_turns_are_those_with_a_weight_each_after_what_it_answers():
    silent = SAY.changed(weight=0.0)
    example = Example(id="e", messages=(RULES, ASK, SAY, ASK, silent, ASK, SAY))
    assert list(example.turns()) == [((RULES, ASK), SAY), (example.messages[:6], SAY)]
