"""Whole runs through the real command line, with an agent on a server that misbehaves."""

import collections
import json
import random
import sys

import pytest

from eef_framework.cli import run as command
from eef_framework.testing.corridor import best_action
from eef_framework.testing.server import ChatServer

CONFIG = """\
environment: corridor
expert: corridor-expert
policy: {{name: openai, model: test, base_url: "{url}", retries: 6, longest_wait_s: 0.01, requests: 4}}
clone: {{on: none}}
attributor: {{name: interval, probes: 2}}
iterations: 1
limits: {{concurrency: 4}}
collect: {{tasks: {{split: train, count: 10}}}}
evaluate: {{tasks: {{split: test, count: 10}}, expert: false, sampling: {{temperature: 0.5}}}}
"""


def wavering(request):
    """Answer rightly most of the time; the request alone decides when."""
    draw = random.Random(f"{request.body['seed']} {request.last_message}")
    return f"Action: {best_action(request.last_message) if draw.random() < 0.7 else 'go[west]'}"


@pytest.fixture
def server():
    with ChatServer(wavering) as server:
        yield server


@pytest.fixture
def eef_run(tmp_path, monkeypatch, capsys, server):
    """Run `eef-run own.yaml` in this process; returns its exit code and what it says of failures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("EEF_PLUGINS", "eef_framework.testing.plugin,attribution")
    (tmp_path / "own.yaml").write_text(CONFIG.format(url=server.url))

    def eef_run(*arguments):
        monkeypatch.setattr(sys, "argv", ["eef-run", "own.yaml", *arguments])
        with pytest.raises(SystemExit) as left:
            command.main()
        return left.value.code or 0, capsys.readouterr().err

    return eef_run


def episodes(folder, name="*.jsonl"):
    """Return the agent's episodes by id, without what depends on the clock and on repetitions."""
    found = {}
    for path in sorted(folder.rglob(name)):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if row.get("actor", "").startswith("agent/"):
                row.pop("seconds")
                for step in row["steps"]:
                    for name in ("requests", "earlier_requests", "unknown_requests"):
                        (step["response"] or {"info": {}})["info"].pop(name, None)
                found[row["id"]] = row
    return found


@pytest.mark.filterwarnings("ignore::eef_framework.errors.EefWarning")  # of unknown costs
def test_a_server_that_misbehaves_costs_episodes_and_the_run_goes_on(eef_run, server, tmp_path):
    passing = ["die", "garbage", "500", "negative-usage", "no-choices", "absurd-usage", "429", "no-usage"]

    def fault(request):
        if request.body["seed"] % 80 == 0:
            return "die"  # whenever it is asked
        draw = random.Random(request.number)
        return draw.choice(passing) if draw.random() < 0.1 else ""

    server.fault = fault
    code, err = eef_run()
    assert code == 0, err
    found = episodes(tmp_path)
    lost = [row for row in found.values() if row["ending"] == "error"]
    assert 0 < len(lost) < len(found) / 5
    assert all(row["info"]["error_code"] == "connection-lost" for row in lost)
    answers = [step["response"] for row in found.values() for step in row["steps"] if step["response"]]
    assert any(answer["info"].get("usage") == "unknown" for answer in answers)
    assert all(0 <= answer["prompt_tokens"] < 500 for answer in answers)
    metrics = json.loads((tmp_path / "runs/own/metrics.json").read_text())
    assert sum(row["evaluation"]["errors"] for row in metrics["rows"]) == sum("evaluate" in row["id"] for row in lost)


@pytest.mark.slow
def test_a_run_whose_server_dies_goes_on_from_there_and_plays_lost_episodes_again(eef_run, server, tmp_path):
    refused, given_up = collections.Counter(), {}

    def fault(request):
        if request.body["temperature"] == 0.5:
            return ""  # the evaluation before: a stage that is complete stays as it is
        seed = request.body["seed"]
        refused[seed] += seed % 20 == 0
        lost_at = given_up.setdefault("at", request.number) if 7 in refused.values() else request.number
        if request.number > lost_at + 25:  # an episode is lost, and others were played since
            return "quit"
        return "garbage" if seed % 20 == 0 else ""

    server.fault = fault
    code, err = eef_run("--out", "interrupted")
    assert code == 1
    assert "[unreachable]" in err
    assert "Traceback" not in err
    assert not (tmp_path / "interrupted/metrics.json").exists()
    before = episodes(tmp_path / "interrupted")
    lost = {id for id, row in before.items() if row["ending"] == "error"}
    assert lost
    assert len(before) > len(lost)

    server.fault = lambda request: ""
    server.start()
    asked = len(server.requests)
    assert eef_run("--out", "interrupted")[0] == 0
    assert eef_run("--out", "whole")[0] == 0
    after = episodes(tmp_path / "interrupted")
    # Of the attempt before, which an episode that is played again keeps.
    costs = dict.fromkeys(("lost_tokens", "lost_usd", "lost_prompt_tokens", "lost_steps", "lost_unknown"), 0)
    whole = episodes(tmp_path / "whole")
    assert {id: row | costs for id, row in after.items()} == {id: row | costs for id, row in whole.items()}
    assert {id for id in after if after[id] != whole[id]} <= lost
    assert all(after[id]["ending"] != "error" for id in lost)
    kept = set(before) - lost
    assert {id: before[id] for id in kept} == {id: after[id] for id in kept}
    assert len(server.requests) - asked < 2 * sum(len(row["steps"]) for row in after.values())


def test_a_server_that_says_nothing_but_garbage_stops_the_run_at_the_end_of_the_phase(eef_run, server):
    server.fault = lambda request: "html"
    code, err = eef_run()
    assert code == 1
    assert "[episodes-lost]" in err


def test_a_wrong_model_stops_the_run_at_once(eef_run, server):
    server.fault = lambda request: "400"
    code, err = eef_run()
    assert code == 1
    assert "[field-refused]" in err
    assert len(server.requests) < 20  # not every task's
