"""A tiny model and something to teach it."""

import random

import pytest
import torch

from eef_framework.policies import TinyModel
from eef_framework.records import Example, Message

WORDS = [f"word{number}" for number in range(12)]


def turn(text, weight=1.0):
    return Message(role="assistant", content=text, weight=weight)


def copying(number):
    """Return an example that asks for the word after `copy`, in the middle of other words."""
    rng = random.Random(number)
    words = rng.choices(WORDS, k=rng.randint(1, 9))
    wanted = rng.choice(WORDS)
    words.insert(rng.randint(0, len(words)), f"copy {wanted}")
    return Example(id=f"e{number}", messages=(Message(role="user", content=" ".join(words)), turn(wanted)))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Models this small are slower on several threads, and much slower where other programs run beside the tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def examples():
    return [copying(number) for number in range(64)]


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """A tiny model with random weights that knows the words."""
    words = ((Message(role="user", content="copy " + " ".join(WORDS)),),)
    return TinyModel(hidden=32, layers=2, feed_forward=64).build(words, tmp_path_factory.mktemp("start"), seed=1)
