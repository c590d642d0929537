"""The experts keep their contracts, take part in runs, and the files to start from are in order."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
import yaml
from eef_experts import plugin
from eef_experts.chat_completions import OpenAIExpert
from eef_experts.local import LocalExpert
from eef_experts.recording import RecordingExpert

from eef_framework.cli import main
from eef_framework.cli import run as eef_run
from eef_framework.config.loading import load_config
from eef_framework.plugins import load_plugins
from eef_framework.records import Trajectory
from eef_framework.rollout import demonstrations
from eef_framework.runs import read_rows, write_rows
from eef_framework.testing.conformance import check_expert
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.server import ChatServer
from eef_framework.testing.small_run import small_settings

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.yaml"))


def settings(url):
    expert = {"name": "openai", "model": "test", "base_url": url, "retries": 1, "longest_wait_s": 0.01}
    return yaml.safe_dump(small_settings(expert=expert))


def test_the_experts_are_registered():
    registered = []
    plugin.register_experts(registered.append)
    assert [cls.component_name() for cls in registered] == [
        "openai",
        "local",
        "recording",
        "mixture",
        "best-of-n",
    ]


def test_the_expert_on_a_server_keeps_its_contract():
    with ChatServer() as server:
        check_expert(OpenAIExpert(model="test", base_url=server.url), Corridor())


def test_a_local_expert_keeps_its_contract():
    check_expert(LocalExpert(policy="eef_framework.testing.queue_policy:ScriptedPolicy"), Corridor())


@pytest.mark.parametrize("replay", [False, True])
def test_a_recording_keeps_its_contract(tmp_path, replay):
    corridor = Corridor()

    async def wander():
        return [each async for each in demonstrations(CorridorExpert(), corridor, corridor.tasks("train"), 0)]

    write_rows(tmp_path / "x.jsonl", asyncio.run(wander()))
    check_expert(RecordingExpert(file=str(tmp_path / "x.jsonl"), replay=replay), corridor)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_configurations_are_valid(path):
    pytest.importorskip("eef_webshop")
    environ = {key: value for key, value in os.environ.items() if not key.startswith("EEF_")}
    assert load_config(path, (), environ, load_plugins(environ={})).expert["name"] == "openai"


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run `eef ...` or `eef-run ...` in this process; returns its exit code and what it says of failures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("EEF_PLUGINS", "eef_framework.testing.plugin,experts")

    def command(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(SystemExit) as left:
            {"eef": main, "eef-run": eef_run}[name].main()
        return left.value.code or 0, capsys.readouterr().err

    return command


def test_demonstrations_lost_to_a_server_are_asked_for_again_when_the_command_is_repeated(command, tmp_path):
    poisoned = [Corridor().open(task).observation.text for task in Corridor().tasks("train")[2:4]]
    with ChatServer() as server:
        (tmp_path / "own.yaml").write_text(settings(server.url))
        server.fault = lambda request: "die" if request.last_message in poisoned else ""
        code, err = command("eef-run", "own.yaml", "--out", "x")
        assert code == 1
        assert "[episodes-lost]" in err
        asked, server.fault = len(server.requests), lambda request: ""
        code, err = command("eef-run", "own.yaml", "--out", "x")
        assert code == 0, err
    found = list(read_rows(tmp_path / "x/collect/trajectories.jsonl", Trajectory))
    assert [row.reward for row in found] == [1.0] * 8
    held_out = sum(len(row.steps) for row in read_rows(tmp_path / "x/evaluate/expert/trajectories.jsonl", Trajectory))
    owed = sum(len(row.steps) for row in found if row.initial.text in poisoned)
    assert len(server.requests) - asked == owed + held_out


def test_what_an_expert_recorded_can_be_demonstrated_again_without_it(command, tmp_path):
    with ChatServer() as server:
        (tmp_path / "own.yaml").write_text(settings(server.url))
        assert command("eef", "collect", "own.yaml", "--out", "said.jsonl")[0] == 0
    recording = ("--set", "expert=recording", "--set", "expert.file=said.jsonl", "--set", "expert.replay=true")
    code, err = command("eef-run", "own.yaml", *recording, "--set", "evaluate.expert=false")
    assert code == 0, err
    said = list(read_rows(tmp_path / "said.jsonl", Trajectory))
    again = list(read_rows(tmp_path / "runs/own/collect/trajectories.jsonl", Trajectory))
    assert [row.steps for row in again] == [row.steps for row in said]
