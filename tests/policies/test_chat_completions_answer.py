"""Whatever a server says, it is read or refused, and what can't be true isn't counted."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eef_framework.policies.chat_completions.answer import (
    Completion,
    UnreadableAnswer,
    logprobs,
    read_completion,
    token_ids,
    usage,
)
from eef_framework.policies.chat_completions.constraint import constraint
from eef_framework.policies.truncation import droppable_observations, without_oldest
from eef_framework.records import FreeText, Message, Observation

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "message", "content", "finish_reason", "usage", "prompt_tokens", "completion_tokens",
             "prompt_tokens_details", "cached_tokens", "token_ids", "logprobs", "logprob"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip
ASKED = (Message(role="system", content="rules " * 10), Message(role="user", content="what now?"))


def completion(reported, text="Action: look", **choice):
    return Completion.model_validate({"choices": [{"message": {"content": text}, **choice}], "usage": reported})


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"")
@example(b'{"choices": null}')
@example(b"\xff\xfe")
def test_any_bytes_are_an_answer_or_refused(data):
    try:
        found = read_completion(data)
    except UnreadableAnswer:
        return
    assert found.choices


@given(JSON, JSON, JSON)
def test_whatever_is_reported_beside_the_text_is_counted_truthfully_or_not_at_all(reported, ids, probabilities):
    answer = completion(reported, token_ids=ids, logprobs=probabilities)
    found = usage(answer, ASKED, limit=64)
    if found is not None:
        assert 0 <= found.cached <= found.prompt <= 5000
        assert 0 <= found.completion <= 72
    for kept in (token_ids(ids), logprobs(probabilities)):
        assert kept is None or len(kept) > 0


@pytest.mark.parametrize(
    ("reported", "counted"),
    [
        ({"prompt_tokens": 30, "completion_tokens": 4}, (30, 0, 4)),
        ({"prompt_tokens": 30, "completion_tokens": 4, "prompt_tokens_details": None}, (30, 0, 4)),
        ({"prompt_tokens": 30, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 16}}, (30, 16, 4)),
        ({"prompt_tokens": 30, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 31}}, None),
        ({"prompt_tokens": 0, "completion_tokens": 4}, None),
        ({"prompt_tokens": True, "completion_tokens": 4}, None),
        ({"prompt_tokens": 30, "completion_tokens": 0}, None),
        ({"prompt_tokens": 30, "completion_tokens": 500}, None),
        ({"prompt_tokens": 30.5, "completion_tokens": 4}, None),
        ({}, None),
        ("30 tokens", None),
    ],
)
def test_token_counts_are_believed_where_they_can_be_true(reported, counted):
    assert usage(completion(reported), ASKED, limit=64) == counted


def test_token_counts_that_contradict_the_token_ids_are_not_believed():
    reported = {"prompt_tokens": 30, "completion_tokens": 40}
    assert usage(completion(reported, token_ids=[5, 6, 7]), ASKED, limit=64) is None


@pytest.mark.parametrize("ids", [[], [1, -2], [1, "2"], [1, None], [True], "12", {"0": 1}, None])
def test_lists_that_are_no_token_ids_are_left_out(ids):
    assert token_ids(ids) is None


@pytest.mark.parametrize(
    "reported", [None, {}, {"content": []}, {"content": [{"logprob": 2.0}]}, {"content": [{}]}, {"content": ["x"]}]
)
def test_impossible_probabilities_are_left_out(reported):
    assert logprobs(reported) is None


@given(st.integers(0, 6), st.integers(0, 8), st.booleans())
def test_a_shortened_conversation_keeps_its_ends_and_its_order(turns, left_out, rules):
    head = (Message(role="system", content="rules"),) if rules else ()
    said = [Message(role="user", content="goal")]
    for turn in range(turns):
        said += [Message(role="assistant", content=f"act {turn}"), Message(role="user", content=f"see {turn}")]
    conversation = (*head, *said)
    if left_out > droppable_observations(conversation):
        return
    shown = without_oldest(conversation, left_out)
    assert shown == (*head, *said[2 * left_out :])
    assert shown[len(head)].role == shown[-1].role == "user"


def test_worded_actions_are_allowed_by_a_pattern():
    import re

    observation = Observation(text="", actions=("click[a+b]",), free=(FreeText(prefix="search[", suffix="]"),))
    pattern = constraint(observation, "guided")["guided_regex"]
    for allowed in ("click[a+b]", "search[red shoes]"):
        assert re.fullmatch(pattern, allowed)
    for forbidden in ("click[aab]", "search[]", "search[ ]", "search[a]\nsearch[b]", "buy"):
        assert not re.fullmatch(pattern, forbidden)


def test_nothing_is_forbidden_where_actions_are_not_known():
    assert constraint(Observation(text=""), "structured_outputs") == {}
