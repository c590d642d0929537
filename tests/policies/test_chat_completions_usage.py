import pytest

from eef_framework.policies.chat_completions.answer import Completion
from eef_framework.policies.chat_completions.usage import usage
from eef_framework.records import Message

ASKED = (Message(role="system", content="rules " * 10), Message(role="user", content="what now?"))


def completion(reported, text="Action: look", **choice):
    return Completion.model_validate({"choices": [{"message": {"content": text}, **choice}], "usage": reported})


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
