"""The policy with a real vLLM server, and a tiny model that is made here."""

import asyncio
import os
import warnings
from pathlib import Path

import psutil
import pytest
import torch
from eef_attribution.interval import IntervalAttributor
from eef_vllm.policy import VllmPolicy
from pydantic import PrivateAttr
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import EefWarning
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Sampling
from eef_framework.pipeline.run import run
from eef_framework.plugins import load_plugins
from eef_framework.policies import TransformersPolicy
from eef_framework.records import Attribution, Checkpoint, Example, Message, Observation, Trajectory
from eef_framework.rollout import demonstrations
from eef_framework.runs import RunLayout, StageKey, read_rows
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.small_run import small_config
from eef_framework.training import SftTrainer

PYTHON = os.environ.get("EEF_VLLM_PYTHON", "")

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PYTHON, reason="needs vLLM: make test-vllm"),
]

SAMPLING = Sampling(temperature=1.0, max_tokens=12)
FORMAT = ChatFormat(style="action", history=1)
ACTIONS = ("go east", "open door", "take key")
CORRIDOR = Corridor()


def asked(number):
    return (Message(role="user", content=CORRIDOR.open(CORRIDOR.tasks("train")[number]).initial.text),)


def example(number):
    answer = Message(role="assistant", content=f"Action: {ACTIONS[number % 3]}", weight=1.0)
    return Example(id=f"e{number}", messages=(*asked(number), answer))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with random weights. vLLM needs heads of 32 dimensions or more, and constrains pieces of words."""

    async def shown():
        return [each async for each in demonstrations(CorridorExpert(), CORRIDOR, CORRIDOR.tasks("train"), 0)]

    texts = [
        message.content
        for each in run_coroutine(shown())
        for message in FORMAT.conversation(CORRIDOR.instructions, each.initial, each.steps)
    ]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<end>", "<system>", "<user>", "<assistant>"]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=512, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    template = (
        "{% for m in messages %}{{ '<' + m.role + '>' }}{{ m.content }}<end>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>", chat_template=template
    )
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(
        **sizes,
        vocab_size=len(wrapped),
        max_position_embeddings=1024,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=wrapped.eos_token_id,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(config).save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture
def settings(model):
    """Settings of a policy with a real server."""
    return {
        "model": str(model),
        "python": Path(PYTHON),
        "dtype": "float32",
        "verify": 8,
        # With bytecode, which pip wasn't asked to write, a second server starts faster than the first one.
        "environment": {"VLLM_CPU_KVCACHE_SPACE": "1", "PYTHONDONTWRITEBYTECODE": ""},
    }


def answers(policy, count=8, **sampling):
    async def all_at_once():
        observation = Observation(text="", actions=ACTIONS[:2])
        chosen = SAMPLING.changed(**sampling)
        return await asyncio.gather(
            *(policy.act(asked(number), observation, chosen, number) for number in range(count))
        )

    return run_coroutine(all_at_once())


def servers():
    """Return the servers of this process, and their children."""
    below = psutil.Process().children(recursive=True)
    found = [each for each in below if "vllm.entrypoints.openai.api_server" in each.cmdline()[:3]]
    return found, [child for server in found for child in server.children(recursive=True)]


def ended(process):
    """Return whether a process has ended, perhaps without its parent having noticed."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_adapters_answer_as_the_merged_weights_do(model, settings, tmp_path):
    trainer = SftTrainer(steps=6, batch_size=4, learning_rate=2e-2, lora={"rank": 8, "alpha": 32}, device="cpu")
    start = Checkpoint(path=model)
    policy = VllmPolicy(**settings, max_lora_rank=16)
    policy.preflight()
    for seed, name in enumerate(("first", "second")):  # the second adapter is stacked on the first one
        trainer.train([example(n + 4 * seed) for n in range(4)], start, tmp_path / name, seed, lambda *_: None)
        start = Checkpoint(path=tmp_path / name, name=name)
        with policy.load(start) as loaded:  # verified
            assert loaded.model.startswith("eef-")
            found = answers(loaded)
            scored = run_coroutine(loaded.score(asked(0), Observation(text=""), SAMPLING, found[:1]))[0]
            constrained = answers(loaded, 4, constrain=True, temperature=0.7)
        with TransformersPolicy(model=str(model)).load(start) as exact:
            for number, answer in enumerate(found):
                wanted = run_coroutine(exact.score(asked(number), Observation(text=""), SAMPLING, [answer]))[0]
                assert answer.logprobs == pytest.approx(wanted.logprobs, abs=0.02)
        assert scored.logprobs == pytest.approx(found[0].logprobs, abs=0.02)
        assert {answer.text for answer in constrained} <= set(ACTIONS[:2])
    processes = [each for group in servers() for each in group]
    policy.close()
    assert len(processes) > 1
    _, left = psutil.wait_procs([each for each in processes if not ended(each)], timeout=60)
    assert [each for each in left if not ended(each)] == []


class _KillsServer(IntervalAttributor):
    """Kills the server once, before the first simulation."""

    _killed: list[int] = PrivateAttr(default_factory=list)

    async def attribute(self, trajectory, simulate):
        if not self._killed:
            (server,), _ = servers()
            server.kill()
            self._killed.append(server.pid)
        return await super().attribute(trajectory, simulate)


def test_the_whole_method_ends_although_its_server_is_killed_while_it_explores(model, settings, tmp_path):
    policy, attributor = VllmPolicy(**settings), _KillsServer(probes=2)
    trainer = {"name": "sft", "steps": 6, "batch_size": 4, "learning_rate": 1e-2, "lora": {"rank": 8}, "device": "cpu"}
    short = {"temperature": 1.0, "max_tokens": 12, "constrain": True}
    config = small_config(
        6,
        4,
        policy=policy,
        format=FORMAT.model_dump(),
        clone={"trainer": trainer},
        tune={"trainer": trainer},
        attributor=attributor,
        explore={"sampling": short},
        evaluate={"tasks": {"split": "test", "count": 4}, "sampling": short},
        filters=[],
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EefWarning)
        run(config, load_plugins(), tmp_path)
        policy.close()
    assert attributor._killed
    assert "vllm-recovered" in {getattr(each.message, "code", None) for each in caught}
    layout = RunLayout(tmp_path)
    for stage in (StageKey("evaluate"), StageKey("explore", "eef", 1), StageKey("evaluate", "eef", 1)):
        rows = list(read_rows(layout.trajectories(stage), Trajectory))
        assert rows
        assert {row.ending for row in rows} <= {"terminated", "truncated"}, stage
    assert list(read_rows(layout.attributions("eef", 1), Attribution))
    assert (layout.path / "report.html").is_file()
    assert servers() == ([], [])
