"""TRL's GRPOTrainer plays episodes in an environment that is served over HTTP."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from eef_serve.remote import RemoteEnvironment
from eef_serve.testing import RunningServer
from eef_serve.trl_rollout import TrlRollout, episode_reward

from eef_framework.chat import ChatFormat, ChatTokenizer
from eef_framework.errors import ConfigError
from eef_framework.policies import TinyModel, load_tokenizer
from eef_framework.records import Checkpoint, Trajectory
from eef_framework.rollout import demonstrations
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.training import SftTrainer

pytest.importorskip("trl")

Start = Callable[..., RunningServer]
FORMAT = ChatFormat(style="action")


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A tiny model that was trained for a few steps on demonstrations: it succeeds now and then."""
    corridor, folder = Corridor(), tmp_path_factory.mktemp("cloned")
    shown = asyncio.run(_demonstrations(corridor))
    weights = [[1.0] * len(each.steps) for each in shown]
    examples = [
        example
        for each, weight in zip(shown, weights, strict=True)
        for example in FORMAT.examples(each, weight, corridor.instructions, "clone")
    ]
    tiny = TinyModel(hidden=32, layers=2, feed_forward=64)
    start = tiny.build([example.messages for example in examples], folder / "tiny", seed=1)
    trainer = SftTrainer(device="cpu", learning_rate=1e-2, batch_size=8, steps=12)
    trainer.train(examples, start, folder / "cloned", 0, lambda *_: None)
    return Checkpoint(path=folder / "cloned")


async def _demonstrations(corridor: Corridor) -> list[Trajectory]:
    tasks = corridor.tasks("train")[:12]
    return [each async for each in demonstrations(CorridorExpert(), corridor, tasks, 3)]


@pytest.fixture
def remote(start: Start) -> Iterator[RemoteEnvironment]:
    with RemoteEnvironment(url=start().url) as environment:
        yield environment


def trainer_of(rollout: Any, rows: list[dict[str, str]], model: Path, output: Path, **settings: Any) -> Any:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    common = {
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_steps": 1,
        "learning_rate": 1e-2,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "seed": 3,
    }
    return GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(model),
        episode_reward,
        args=GRPOConfig(str(output), **(common | settings)),
        train_dataset=Dataset.from_list(rows),
        processing_class=load_tokenizer(model),
        rollout_func=rollout,
    )


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")


@pytest.mark.slow
@pytest.mark.usefixtures("silent")
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing:FutureWarning")
def test_trl_trains_on_episodes_that_were_played_over_http(
    remote: RemoteEnvironment, cloned: Checkpoint, tmp_path: Path
) -> None:
    rollout = TrlRollout(remote, format=FORMAT, answer_tokens=8)
    found: dict[str, list[Any]] = {}

    def recorded(prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
        weights = [each.clone() for each in trainer.model.parameters()]
        output = rollout(prompts, trainer)
        found.update(output, tasks=prompts, weights=weights)
        return dict(output)

    trainer = trainer_of(recorded, rollout.rows, cloned.path, tmp_path)
    trainer.train()
    chat = ChatTokenizer(trainer.processing_class)
    assert len(found["tasks"]) == 8
    assert len(set(found["tasks"])) == 2
    # The same answers in the environment itself lead to the same observations and rewards.
    corridor = Corridor()
    tasks = {task.id: task for task in corridor.tasks("train")}
    for number, id in enumerate(found["tasks"]):
        answers, contexts = parts(found["completion_ids"][number], found["env_mask"][number])
        with corridor.open(tasks[id]) as session:
            for answer, context in zip(answers, [found["prompt_ids"][number], *contexts], strict=True):
                shown = chat.tokenizer.decode(chat.tokens(session.observation.text))
                assert shown in chat.tokenizer.decode(context)
                session.step(FORMAT.parse(chat.text(answer), session.observation).action)
            assert session.done
            assert session.reward == found["episode_reward"][number]
    # Log-probabilities are the model's own.
    before = trainer.model
    after = [each.clone() for each in before.parameters()]
    with torch.no_grad():
        for parameter, value in zip(before.parameters(), found["weights"], strict=True):
            parameter.copy_(value)
        for number in range(8):
            prompt, completion = found["prompt_ids"][number], found["completion_ids"][number]
            logits = before(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
            wanted = logits.log_softmax(-1).gather(-1, torch.tensor(completion)[:, None])[:, 0]
            mask = torch.tensor(found["env_mask"][number])
            assert torch.allclose(wanted * mask, torch.tensor(found["logprobs"][number]), atol=1e-4)
    assert len(set(found["episode_reward"])) > 1
    assert any((new != old).any() for new, old in zip(after, found["weights"], strict=True))


def parts(ids: list[int], mask: list[int]) -> tuple[list[list[int]], list[list[int]]]:
    """Return the answers in a completion, and what is between them."""
    groups = [
        (sampled, [token for token, _ in group])
        for sampled, group in itertools.groupby(zip(ids, mask, strict=True), key=lambda pair: pair[1])
    ]
    return [tokens for sampled, tokens in groups if sampled], [tokens for sampled, tokens in groups if not sampled]


@pytest.mark.slow
@pytest.mark.usefixtures("silent")
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing:FutureWarning")
def test_an_episode_that_the_environment_loses_has_no_reward_and_long_ones_end(
    start: Start, cloned: Checkpoint, tmp_path: Path
) -> None:
    lost = start(Corridor(fault="raise", fault_step=2, fault_kind="long"))
    outputs: list[dict[str, list[Any]]] = []
    with RemoteEnvironment(url=lost.url) as environment:
        rollout = TrlRollout(environment, format=FORMAT, answer_tokens=8)
        rows = [{"prompt": task.id} for task in rollout.tasks.values() if task.kind == "long"]

        def recorded(prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
            outputs.append(rollout(prompts, trainer))
            return dict(outputs[-1])

        trainer_of(recorded, rows, cloned.path, tmp_path, max_completion_length=20).train()
        assert len(lost.sessions) == 0
    assert None in outputs[0]["episode_reward"]
    assert max(map(len, outputs[0]["completion_ids"])) <= 20


def test_a_format_that_shows_only_some_observations_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        TrlRollout(Corridor(), format=ChatFormat(history=1))
    assert refused.value.code == "format-not-whole"
