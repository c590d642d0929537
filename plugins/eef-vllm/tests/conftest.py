"""A tiny model, two trainings of adapters that continue each other, and servers with vLLM's interface."""

import asyncio
import importlib.util
import os
import sys
import warnings
from pathlib import Path

import pytest
from eef_vllm.policy import VllmPolicy

from eef_framework.errors import EefWarning
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Sampling
from eef_framework.policies import TinyModel, TransformersPolicy
from eef_framework.records import Checkpoint, Example, Message, Observation
from eef_framework.testing.conformance.examples import conversations
from eef_framework.training import SftTrainer

STUB = Path(__file__).parent / "stub"
WORDS = [f"word{number}" for number in range(12)]
SAMPLING = Sampling(temperature=1.0, max_tokens=6)
TRAINER = {"device": "cpu", "learning_rate": 2e-2, "batch_size": 16, "steps": 6}


def close(policies):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EefWarning)  # of repeated requests
        for policy in policies:
            policy.close()


def asked(number, turns=1):
    words = Message(role="user", content=f"word{number % 12} word{(number + 3) % 12}")
    return (words, *(Message(role=role, content="word1") for _ in range(turns - 1) for role in ("assistant", "user")))


def answers(policy, count=12, errors=False):
    async def all_at_once():
        acts = (policy.act(asked(number), Observation(text=""), SAMPLING, number) for number in range(count))
        return await asyncio.gather(*acts, return_exceptions=errors)

    return run_coroutine(all_at_once())


def example(number):
    asked = " ".join(WORDS[(number + step) % 12] for step in range(4))
    messages = (
        Message(role="user", content=asked),
        Message(role="assistant", content=WORDS[(number * 5) % 12], weight=1.0),
    )
    return Example(id=f"e{number}", messages=messages)


@pytest.fixture(scope="session", autouse=True)
def each_test_has_one_thread(one_thread):
    """See `one_thread` in the conftest of the repository."""


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    words = [*conversations(), (Message(role="user", content=" ".join([*WORDS, "go", "east", "open", "door"])),)]
    return TinyModel(hidden=32, layers=2, feed_forward=64).build(words, tmp_path_factory.mktemp("base"), seed=1)


@pytest.fixture(scope="session")
def trained(base, tmp_path_factory):
    """Checkpoints of two trainings with adapters, the second from the first, and of one without."""
    folder, examples = tmp_path_factory.mktemp("trained"), [example(number) for number in range(32)]
    places = {"first": base, "second": Checkpoint(path=folder / "first"), "complete": base}
    for seed, (name, start) in enumerate(places.items()):
        lora = None if name == "complete" else {"rank": 4, "alpha": 16}
        SftTrainer(**TRAINER, lora=lora).train(examples[seed::2], start, folder / name, seed, lambda *_: None)
    return {name: Checkpoint(path=folder / name, name=name) for name in places}


@pytest.fixture(scope="session")
def server_class():
    path = STUB / "vllm/entrypoints/openai/api_server.py"
    spec = importlib.util.spec_from_file_location("stub_of_vllm", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Server


@pytest.fixture
def server(server_class, base):
    with server_class(base.path) as server:
        yield server


@pytest.fixture
def pair(server_class, base):
    """Two servers."""
    with server_class(base.path) as one, server_class(base.path) as other:
        yield one, other


@pytest.fixture
def policy_on(base):
    """Return a policy on running servers."""
    policies = []

    def build(*servers, **settings):
        urls = tuple(server.url for server in servers)
        waits = {"outage_s": 60.0, "timeout_s": 30.0, "verify": 6}
        policies.append(VllmPolicy(model=str(base.path), base_urls=urls, **(waits | settings)))
        return policies[-1]

    yield build
    close(policies)


@pytest.fixture
def managed(base):
    """Return a policy that starts stand-ins for vLLM's server."""
    policies = []
    path = os.pathsep.join([str(STUB), *filter(None, sys.path)])

    def build(**settings):
        environment = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        common = {"python": Path(sys.executable), "environment": environment, "timeout_s": 30.0, "verify": 6}
        policies.append(VllmPolicy(model=str(base.path), **(common | settings)))
        return policies[-1]

    yield build
    close(policies)


@pytest.fixture(scope="session", name="asked")
def asked_fixture():
    """Return a conversation by its number, with a number of turns."""
    return asked


@pytest.fixture(scope="session", name="answers")
def answers_fixture():
    """Return the answers of a policy to the first conversations, asked all at once."""
    return answers


@pytest.fixture(scope="session")
def logprobs_in_process(base):
    """Return the log-probabilities of answers to the first conversations with the merged weights of a checkpoint."""

    def scored(checkpoint, given):
        with TransformersPolicy(model=str(base.path)).load(checkpoint) as policy:
            return [
                run_coroutine(policy.score(asked(number), Observation(text=""), SAMPLING, [answer]))[0].logprob
                for number, answer in enumerate(given)
            ]

    return scored
