"""A tiny model with random weights, and questions to it."""

import random

import pytest

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.policies import TinyModel, TransformersPolicy
from eef_framework.policies.loading import load_tokenizer
from eef_framework.records import FreeText, Message, Observation

WORDS = [f"word{number}" for number in range(60)]
ACTIONS = tuple(f"click[item {number}]" for number in range(12))


def asked(text):
    return (Message(role="user", content=text),)


@pytest.fixture(scope="session", autouse=True)
def each_test_has_one_thread(one_thread):
    """See `one_thread` in the conftest of the repository."""


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A tiny model whose vocabulary has the words and the actions."""
    conversations = [asked(" ".join(WORDS)), asked(" ".join(ACTIONS) + " search[ ] buy now Thought: Action:")]
    tiny = TinyModel(hidden=32, layers=2, feed_forward=64)
    return TransformersPolicy(tiny=tiny).initial_checkpoint(conversations, tmp_path_factory.mktemp("tiny"), seed=1)


@pytest.fixture(scope="session")
def policy(checkpoint):
    with TransformersPolicy().load(checkpoint) as policy:
        yield policy


@pytest.fixture(scope="session")
def chat(checkpoint):
    return ChatTokenizer(load_tokenizer(checkpoint.path))


@pytest.fixture(scope="session")
def questions():
    """Two hundred questions of 1 to 60 words, some of them equal."""
    rng = random.Random(0)
    return [asked(" ".join(rng.choices(WORDS, k=rng.randint(1, 60)))) for _ in range(180)] + [asked("word1")] * 20


@pytest.fixture(scope="session")
def shop():
    """A state with listed actions and one that the agent words itself."""
    return Observation(text="", actions=ACTIONS, free=(FreeText(prefix="search[", suffix="]"),))
