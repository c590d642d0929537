"""Scores of answers from a server that echoes prompts with log-probabilities, as vLLM does."""

import asyncio

import pytest
import torch

from eef_framework.errors import AnswerFailure, PolicyFailure
from eef_framework.interfaces import Sampling
from eef_framework.policies.chat_completions import OpenAIPolicy, Prices
from eef_framework.policies.loading import load_model
from eef_framework.records import Observation, Response
from eef_framework.testing.server import ChatServer, Reply

FREE = Observation(text="")


@pytest.fixture(scope="module")
def echo(checkpoint):
    """Log-probabilities that a real model gives the tokens of a prompt."""
    model = load_model(checkpoint.path, "float32", "cpu").eval()

    def logprobs(ids):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].double()
        return [None, *logits.log_softmax(dim=1)[range(len(ids) - 1), ids[1:]].tolist()]

    return logprobs


def served(running, checkpoint, **settings):
    defaults = {"model": "test", "base_url": running.url, "retries": 1, "longest_wait_s": 0.01, "server": "vllm"}
    return OpenAIPolicy(**(defaults | {"tokenizer": str(checkpoint.path)} | settings))


PLAIN = Sampling()


def score(policy, conversation, answers, sampling=PLAIN):
    return asyncio.run(policy.score(conversation, FREE, sampling, answers))


def test_scores_are_those_of_the_same_model_in_this_process(policy, checkpoint, questions, echo):
    sampling = Sampling(max_tokens=6)
    sampled = asyncio.run(policy.act(questions[0], FREE, sampling, 1))
    answers = [sampled, Response(text="word1 word2"), Response(text="buy now")]
    expected = asyncio.run(policy.score(questions[0], FREE, sampling, answers))
    with ChatServer(echo=echo) as server:
        found = score(served(server, checkpoint, prices=Prices(input=1.0)), questions[0], answers, sampling)
    assert [each.token_ids for each in found] == [each.token_ids for each in expected]
    assert [each.tokenizer for each in found] == [each.tokenizer for each in expected]
    assert [each.logprob for each in found] == pytest.approx([each.logprob for each in expected], abs=1e-3)
    assert found[0].logprob == pytest.approx(sampled.logprob, abs=1e-3)
    assert found[0].usd == pytest.approx((found[0].prompt_tokens + len(found[0].token_ids)) / 1e6)


@pytest.mark.parametrize(
    ("settings", "sampling"),
    [
        ({"server": "plain"}, Sampling()),
        ({"tokenizer": ""}, Sampling()),
        ({}, Sampling(constrain=True)),
        ({}, Sampling(temperature=0.5)),
    ],
)
def test_what_cannot_be_scored_is_refused_before_a_request(checkpoint, questions, echo, settings, sampling):
    with ChatServer(echo=echo) as server:
        with pytest.raises(PolicyFailure) as caught:
            score(served(server, checkpoint, **settings), questions[0], [Response(text="word1")], sampling)
        assert not server.requests
    assert caught.value.code == "scoring-unsupported"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"choices": [{"logprobs": {"token_logprobs": [None, -1.0]}}]}, "unreadable-answer"),
        ({"choices": [{"logprobs": {"token_logprobs": [None] * 500}}]}, "unreadable-answer"),
        ({"choices": [{"logprobs": None}]}, "unreadable-answer"),
        (b"no JSON", "unreadable-answer"),
        ({"error": {"message": "out of memory", "code": 500}}, "server-error"),
    ],
)
def test_unreadable_scores_are_lost(checkpoint, questions, document, code):
    with ChatServer(fault=lambda request: Reply(200, document)) as server, pytest.raises(AnswerFailure) as caught:
        score(served(server, checkpoint), questions[0], [Response(text="word1")])
    assert caught.value.code == code


def test_a_server_that_has_no_completions_says_so(checkpoint, questions):
    with ChatServer() as server, pytest.raises(PolicyFailure) as caught:
        score(served(server, checkpoint), questions[0], [Response(text="word1")])
    assert caught.value.code == "no-such-address"


def test_a_failed_request_is_sent_again(checkpoint, questions, echo):
    with ChatServer(echo=echo, fault=lambda request: "" if request.number else "500") as server:
        (found,) = score(served(server, checkpoint), questions[0], [Response(text="word1")])
        assert len(server.requests) == 2
    assert found.logprob < 0
