"""A tiny model and something to teach it."""

import random

import pytest
import torch

from eef_framework.policies import TinyModel
from eef_framework.policies.loading import load_model, load_tokenizer
from eef_framework.records import Checkpoint, Example, Message

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
def each_test_has_one_thread(one_thread):
    """See `one_thread` in the conftest of the repository."""


@pytest.fixture(scope="session")
def examples():
    return [copying(number) for number in range(64)]


@pytest.fixture
def save_in(start, tmp_path):
    """Return a function that saves the tiny model in another type, after a change of the model if one is given."""

    def save(name, dtype, change=None):
        model = load_model(start.path, dtype, "cpu")
        if change is not None:
            with torch.no_grad():
                change(model)
        model.save_pretrained(tmp_path / name)
        load_tokenizer(start.path).save_pretrained(tmp_path / name)
        return Checkpoint(path=tmp_path / name)

    return save


@pytest.fixture
def broken(save_in):
    """The tiny model with a weight that isn't a number."""
    return save_in("broken", "float32", lambda model: model.model.norm.weight.fill_(float("nan")))


@pytest.fixture
def half(save_in):
    """The tiny model in bfloat16."""
    return save_in("half", "bfloat16")


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """A tiny model with random weights that knows the words."""
    words = ((Message(role="user", content="copy " + " ".join(WORDS)),),)
    return TinyModel(hidden=32, layers=2, feed_forward=64).build(words, tmp_path_factory.mktemp("start"), seed=1)
