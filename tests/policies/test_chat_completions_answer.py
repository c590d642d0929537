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
)
from eef_framework.policies.chat_completions.usage import usage
from eef_framework.records import Message

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


@pytest.mark.parametrize("ids", [[], [1, -2], [1, "2"], [1, None], [True], "12", {"0": 1}, None])
def test_lists_that_are_no_token_ids_are_left_out(ids):
    assert token_ids(ids) is None


@pytest.mark.parametrize(
    "reported", [None, {}, {"content": []}, {"content": [{"logprob": 2.0}]}, {"content": [{}]}, {"content": ["x"]}]
)
def test_impossible_probabilities_are_left_out(reported):
    assert logprobs(reported) is None
