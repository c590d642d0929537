"""The recipe nat: all demonstrations, with their outcome in the prompt."""

import asyncio
import json
from pathlib import Path

import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.config.loading import load_config
from eef_framework.errors import ConfigError
from eef_framework.interfaces import EpisodeSpec, Sampling
from eef_framework.pipeline import run, variants
from eef_framework.pipeline.plan import plan
from eef_framework.plugins import Registry, load_plugins
from eef_framework.records import Conversation, Example, State, Trajectory
from eef_framework.rollout import EpisodeRunner
from eef_framework.runs import read_rows
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.queue_policy import QueuePolicy

MARKS = {"success": "It works.", "failure": "It does not work."}
SMALL = [
    "environment=corridor",
    "expert={name: corridor-expert, skill: 0.7}",
    "policy=lookup",
    "clone.trainer=lookup",
    "collect.tasks.count=12",
    "evaluate.tasks.count=4",
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins(["builtin", "eef_framework.testing.plugin", "eef_attribution.plugin"], {})


def head(messages: Conversation) -> str:
    assert messages[0].role == "system"
    return messages[0].content


def test_failures_are_marked_as_failures_and_successes_as_successes(tmp_path: Path, registry: Registry) -> None:
    config = load_config("nat", [*SMALL, f"format={json.dumps({'outcomes': MARKS, 'history': 1})}"], {}, registry)
    run(config, registry, tmp_path / "run")
    reward = {t.id: t.reward for t in read_rows(tmp_path / "run/collect/trajectories.jsonl", Trajectory)}
    assert len({each >= 1.0 for each in reward.values()}) == 2
    examples = list(read_rows(next((tmp_path / "run").rglob("examples.jsonl")), Example))
    assert {example.trajectory for example in examples} == set(reward)
    for example in examples:
        assert head(example.messages).endswith(MARKS["success" if reward[example.trajectory] >= 1.0 else "failure"])


def test_the_agent_is_asked_for_successes() -> None:
    policy = QueuePolicy(answers=("Action: wait", "Action: wait"))
    format = ChatFormat.model_validate({"outcomes": MARKS, "instructions": False})
    runner = EpisodeRunner(Corridor(), policy, "agent/test", format, Sampling(), max_steps=2)

    async def played() -> None:
        with runner.open() as play:
            await play(EpisodeSpec(id="x", start=State(task=Corridor().tasks("train")[0]), seed=0))

    asyncio.run(played())
    assert [head(messages) for messages in policy.asked] == [MARKS["success"]] * 2


def test_as_a_baseline_it_needs_the_sentences_in_the_runs_own_format(tmp_path: Path, registry: Registry) -> None:
    config = load_config("eef", [*SMALL, "baselines=[nat]"], {}, registry)
    alone = load_config("nat", SMALL, {}, registry)
    assert alone.format.outcomes is not None
    with pytest.raises(ConfigError) as caught:
        plan(config, registry, tmp_path / "run")
    assert (caught.value.code, caught.value.details) == ("no-marks", {"method": "nat"})
    marked = load_config("eef", [*SMALL, "baselines=[nat]", f"format.outcomes={json.dumps(MARKS)}"], {}, registry)
    assert [each.clone.on for each in variants(marked, registry)] == ["successes", "marked"]
    plan(marked, registry, tmp_path / "run")
