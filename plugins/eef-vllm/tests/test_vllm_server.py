"""The policy with a real vLLM server."""

import asyncio
import os
import warnings
from pathlib import Path

import psutil
import pytest
from eef_vllm.policy import VllmPolicy

from eef_framework.errors import EefWarning
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Sampling
from eef_framework.models import KNOWN, fetch
from eef_framework.policies import TransformersPolicy
from eef_framework.records import Checkpoint, Example, Message, Observation
from eef_framework.training import SftTrainer

PYTHON = os.environ.get("EEF_VLLM_PYTHON", "")

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not PYTHON, reason="needs vLLM: make test-vllm"),
]

SAMPLING = Sampling(temperature=1.0, max_tokens=12)
PLACES = ("kitchen", "corridor", "garden", "cellar", "attic", "shop", "harbour", "library")


def asked(number):
    return (Message(role="user", content=f"You are in the {PLACES[number % 8]}. What do you do, and why?"),)


def example(number):
    answer = Message(role="assistant", content=f"Action: go to the {PLACES[(3 * number + 1) % 8]}", weight=1.0)
    return Example(id=f"e{number}", messages=(*asked(number), answer))


@pytest.fixture(scope="module")
def model():
    return fetch(KNOWN["smollm2-135m"])


@pytest.fixture(scope="module")
def trained(model, tmp_path_factory):
    """Checkpoints of two short trainings, the second from the first."""
    start, found = Checkpoint(path=model), []
    trainer = SftTrainer(steps=3, batch_size=4, learning_rate=1e-3, lora={"rank": 8}, device="cpu")
    for seed in (0, 1):
        output = tmp_path_factory.mktemp("trained")
        trainer.train([example(number + 4 * seed) for number in range(4)], start, output, seed, lambda *_: None)
        start = Checkpoint(path=output, name=f"eef-{seed}")
        found.append(start)
    return found


def answers(policy, count=8, **sampling):
    async def all_at_once():
        observation = Observation(text="", actions=("go east", "open the red door"))
        settings = SAMPLING.changed(**sampling)
        return await asyncio.gather(
            *(policy.act(asked(number), observation, settings, number) for number in range(count))
        )

    return run_coroutine(all_at_once())


def server_process(loaded):
    """Return the server's process, a child of its supervisor."""
    return psutil.Process(loaded.replicas._replicas[0].server._process.pid).children()[0]


def ended(process):
    """Return whether a process has ended, perhaps without its parent having noticed."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_each_checkpoint_answers_also_after_kills(model, trained):
    policy = VllmPolicy(
        model=str(model),
        python=Path(PYTHON),
        dtype="bfloat16",
        max_model_len=1024,
        max_lora_rank=16,
        verify=8,
        environment={"VLLM_CPU_KVCACHE_SPACE": "1"},
    )
    policy.preflight()
    for checkpoint in trained:
        with policy.load(checkpoint) as loaded:  # verified
            found = answers(loaded)
            with TransformersPolicy(model=str(model)).load(checkpoint) as exact:
                for number, answer in enumerate(found[:4]):
                    score = run_coroutine(exact.score(asked(number), Observation(text=""), SAMPLING, [answer]))[0]
                    assert abs(score.logprob - answer.logprob) < 0.5 * len(answer.token_ids)
            scores = run_coroutine(loaded.score(asked(0), Observation(text=""), SAMPLING, found[:1]))
            assert abs(scores[0].logprob - found[0].logprob) < 0.1 * len(found[0].token_ids)
            constrained = answers(loaded, 4, constrain=True, temperature=0.7)
            assert {answer.text for answer in constrained} <= {"go east", "open the red door"}
    with policy.load(trained[0]) as loaded:

        async def killed_meanwhile():
            acts = [asyncio.create_task(loaded.act(asked(n), Observation(text=""), SAMPLING, n)) for n in range(16)]
            await asyncio.wait(acts, return_when=asyncio.FIRST_COMPLETED)
            server_process(loaded).kill()
            return await asyncio.gather(*acts)

        assert len(run_coroutine(killed_meanwhile())) == 16
        assert loaded.replicas.restarts == 1
        processes = [server_process(loaded), *server_process(loaded).children(recursive=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EefWarning)
        policy.close()
    assert len(processes) > 1
    _, left = psutil.wait_procs([each for each in processes if not ended(each)], timeout=30)
    assert [each for each in left if not ended(each)] == []
