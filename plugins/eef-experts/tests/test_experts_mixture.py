"""Several experts as one, and several attempts at each task."""

import asyncio
import re
import sys
from collections import Counter

import pytest
import yaml
from eef_experts.best_of_n import BestOfNExpert
from eef_experts.chat_completions import OpenAIExpert
from eef_experts.mixture import MixtureExpert

from eef_framework.cli import main
from eef_framework.cli import run as eef_run
from eef_framework.errors import ConfigError, EefWarning, PolicyFailure
from eef_framework.interfaces import Expert
from eef_framework.pipeline.costs import cost_of
from eef_framework.plugins import load_plugins
from eef_framework.records import Observation, Trajectory
from eef_framework.rollout import demonstrations as stamped
from eef_framework.runs import read_rows
from eef_framework.testing.conformance import check_expert
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.server import ChatServer, corridor_answer
from eef_framework.testing.small_run import small_settings

CORRIDOR = Corridor()
TASKS = CORRIDOR.tasks("train")
GOOD = {"name": "eef_framework.testing.corridor_expert:CorridorExpert", "skill": 1.0}
MIDDLING = {**GOOD, "skill": 0.4}
POOR = {**GOOD, "skill": 0.0}
OPENAI = {"name": "openai", "model": "test", "base_url": "http://localhost:1/v1", "prices": {"input": 10, "output": 30}}


def demonstrations(expert, tasks=TASKS, seed=7):
    async def gather():
        return [trajectory async for trajectory in stamped(expert, CORRIDOR, tasks, seed)]

    return asyncio.run(gather())


class BrokenExpert(Expert):
    """An expert whose every demonstration fails in a way that concerns all."""

    name = "broken"
    code: str = "key-refused"

    async def demonstrate(self, environment, tasks, seed):
        raise PolicyFailure("it can't", code=self.code)
        yield


@pytest.mark.parametrize(
    "expert",
    [
        MixtureExpert(experts=[GOOD, MIDDLING]),
        MixtureExpert(experts=[GOOD, MIDDLING], divide="each"),
        BestOfNExpert(expert=MIDDLING, n=3),
        BestOfNExpert(expert=MIDDLING, n=3, keep="all"),
        MixtureExpert(experts=[GOOD, {"name": "best-of-n", "expert": MIDDLING, "n": 2, "keep": "all"}], divide="each"),
    ],
    ids=["weight", "each", "best", "all", "nested"],
)
def test_they_keep_their_contract(expert):
    check_expert(expert, CORRIDOR)


def test_each_task_goes_to_one_expert_by_the_weights_and_knows_its_source():
    played = demonstrations(MixtureExpert(experts=[GOOD, POOR], weights=[3, 1]))
    assert len({each.task.id for each in played}) == len(played) == len(TASKS)
    sources = Counter(each.info["source"]["number"] for each in played)
    assert 16 <= sources[0] < len(TASKS)  # about 22
    assert {each.info["source"]["number"] for each in played if each.reward == 1.0} == {0}
    assert {each.actor for each in played} == {"expert/mixture"}


def test_an_expert_with_weight_zero_gets_no_task():
    played = demonstrations(MixtureExpert(experts=[POOR, GOOD, POOR], weights=[0, 1, 0]))
    assert {each.info["source"]["number"] for each in played} == {1}


def test_each_task_by_each_expert():
    played = demonstrations(MixtureExpert(experts=[GOOD, POOR], divide="each"), TASKS[:4])
    ids = {each.id: each for each in played}
    assert set(ids) == {f"expert/mixture/{task.id}/{number}" for task in TASKS[:4] for number in (0, 1)}
    assert {(each.attempt, each.info["source"]["number"]) for each in played} == {(0, 0), (1, 1)}
    assert {each.reward for each in played if each.attempt == 0} == {1.0}


@pytest.mark.parametrize(
    "settings",
    [{"weights": [1]}, {"weights": [1, 1], "divide": "each"}],
)
def test_weights_must_fit_the_experts(settings):
    with pytest.raises(ConfigError) as caught:
        MixtureExpert(experts=[GOOD, POOR], **settings)
    assert caught.value.code == "wrong-weights"


@pytest.mark.parametrize("weights", [[0, 0], [-1, 2], []])
def test_weights_are_shares(weights):
    with pytest.raises(ValueError, match="weights"):
        MixtureExpert(experts=[GOOD, POOR], weights=weights)


def test_several_attempts_in_a_mixture_need_each():
    with pytest.raises(ConfigError) as caught:
        MixtureExpert(experts=[GOOD, {"name": "best-of-n", "expert": GOOD, "keep": "all"}])
    assert caught.value.code == "uneven-mixture"


@pytest.mark.parametrize(("code", "finished"), [("budget-spent", True), ("key-refused", False)])
def test_a_spent_budget_lets_the_others_demonstrate_their_tasks(code, finished):
    registry = load_plugins(["experts"])
    registry.register(BrokenExpert)
    experts = [{"name": "broken", "code": code}, GOOD]
    expert = registry.build("expert", {"name": "mixture", "experts": experts, "divide": "each"})
    found = []

    async def gather():
        async for trajectory in stamped(expert, CORRIDOR, TASKS[:5], 7):
            found.append(trajectory)  # noqa: PERF401 - it raises in between

    with pytest.raises(PolicyFailure) as caught:
        asyncio.run(gather())
    assert (caught.value.code, len(found) == 5) == (code, finished)


def test_the_best_attempt_is_kept_with_the_costs_of_all():
    single = demonstrations(BestOfNExpert(expert=MIDDLING, n=1))
    best = demonstrations(BestOfNExpert(expert=MIDDLING, n=6))
    assert sum(each.reward for each in best) > sum(each.reward for each in single)
    for each in best:
        made = each.info["attempts"]
        assert len(made) == 6
        assert each.reward == max(one["reward"] for one in made) == made[each.info["kept"]]["reward"]
        assert len(each.steps) == min(one["steps"] for one in made if one["reward"] == each.reward)


def test_the_costs_of_attempts_that_are_not_kept_count():
    with ChatServer() as server:
        openai = {"name": "openai", "model": "test", "base_url": server.url, "temperature": 0.5}
        openai |= {"prices": {"input": 10.0, "output": 30.0}}
        server.answer = lambda request: corridor_answer(request) if request.number % 3 else "Action: look"
        (played,) = demonstrations(BestOfNExpert(expert=openai, n=3), TASKS[:1])
        kept = sum(step.response.computed_tokens for step in played.steps)
        sent = sum(sum(len(m["content"].split()) for m in request.body["messages"]) for request in server.requests)
        assert kept < kept + played.lost_tokens
        assert played.lost_usd > 0
        prices = sum(step.response.usd for step in played.steps) + played.lost_usd
        assert prices > sent * 10.0 / 1e6


def test_a_task_that_was_solved_is_not_attempted_again():
    with ChatServer() as server:
        openai = {"name": "openai", "model": "test", "base_url": server.url, "temperature": 0.5}
        demonstrations(BestOfNExpert(expert=openai, n=5, enough=1.0), TASKS[:3])
        once = len(server.requests)
        demonstrations(BestOfNExpert(expert=openai, n=5), TASKS[:3])
        assert len(server.requests) == once + 5 * once


def test_all_attempts_are_demonstrations_and_differ():
    played = demonstrations(BestOfNExpert(expert=MIDDLING, n=8, keep="all"), TASKS[:2])
    assert Counter(each.task.id for each in played) == {task.id: 8 for task in TASKS[:2]}
    assert {each.attempt for each in played} == set(range(8))
    assert len({each.actions for each in played}) > 2


def test_attempts_at_temperature_0_are_warned_of():
    openai = {"name": "openai", "model": "test", "base_url": "http://localhost:1/v1"}
    with pytest.warns(EefWarning) as caught:
        BestOfNExpert(expert=openai).preflight(CORRIDOR)
    assert [each.message.code for each in caught if isinstance(each.message, EefWarning)] == ["equal-attempts"]
    BestOfNExpert(expert={**openai, "temperature": 0.7}).preflight(CORRIDOR)


def test_their_settings_name_those_of_the_experts_that_may_differ():
    openai = {"name": "openai", "model": "test", "base_url": "http://localhost:1/v1"}
    assert "experts.1.budget" in MixtureExpert(experts=[GOOD, openai]).free_settings()
    assert "expert.budget" in BestOfNExpert(expert=openai).free_settings()


@pytest.mark.parametrize(
    "expert",
    [
        {"name": "mixture", "experts": [GOOD, MIDDLING], "divide": "each"},
        {"name": "best-of-n", "expert": MIDDLING, "n": 2, "keep": "all"},
    ],
)
def test_a_run_learns_from_several_demonstrations_of_each_task(tmp_path, monkeypatch, expert):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EEF_PLUGINS", "eef_framework.testing.plugin,attribution,experts")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(small_settings(expert=expert)))
    monkeypatch.setattr(sys, "argv", ["eef-run", "own.yaml", "--out", "run"])
    with pytest.raises(SystemExit) as left:
        eef_run.main()
    assert not left.value.code
    rows = list(read_rows(tmp_path / "run/collect/trajectories.jsonl", Trajectory))
    assert set(Counter(row.task.id for row in rows).values()) == {2}
    evaluated = list(read_rows(tmp_path / "run/evaluate/expert/trajectories.jsonl", Trajectory))
    assert set(Counter(row.task.id for row in evaluated).values()) == {1}
    examples = (tmp_path / "run/clone/examples.jsonl").read_text()
    assert "/1" in examples or "/0" in examples


def test_an_estimate_beforehand_is_above_what_is_used():
    with ChatServer() as server:
        expert = OpenAIExpert(model="test", base_url=server.url, max_tokens=20, prices=OPENAI["prices"])
        initial = [CORRIDOR.open(task).initial for task in TASKS[:3]]
        expected = expert.expected_cost(CORRIDOR, initial, len(TASKS), CORRIDOR.max_steps)
        played = demonstrations(expert)
    used = cost_of(played)
    assert used.prompt_tokens < expected.prompt_tokens
    assert used.computed_tokens < expected.computed_tokens
    assert (
        0
        < used.usd
        < expected.usd
        == pytest.approx(expected.prompt_tokens * 1e-5 + len(TASKS) * CORRIDOR.max_steps * 20 * 3e-5)
    )


def test_estimates_of_combinations_add_up():
    initial = [Observation(text="x" * 400)]
    one = BestOfNExpert(expert=OPENAI, n=1).expected_cost(CORRIDOR, initial, 10, 12)
    assert BestOfNExpert(expert=OPENAI, n=3).expected_cost(CORRIDOR, initial, 10, 12).usd == pytest.approx(3 * one.usd)
    each = MixtureExpert(experts=[OPENAI, GOOD, OPENAI], divide="each").expected_cost(CORRIDOR, initial, 10, 12)
    assert each.usd == pytest.approx(2 * one.usd)
    share = MixtureExpert(experts=[OPENAI, GOOD], weights=[1, 3]).expected_cost(CORRIDOR, initial, 40, 12)
    assert share.usd == pytest.approx(one.usd)
    assert MixtureExpert(experts=[GOOD, POOR]).expected_cost(CORRIDOR, initial, 40, 12) is None


def test_the_plan_of_a_run_has_the_estimate_and_asks_no_server(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("EEF_PLUGINS", "eef_framework.testing.plugin,attribution,experts")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(small_settings(expert=OPENAI)))
    monkeypatch.setattr(sys, "argv", ["eef-run", "own.yaml", "--out", "run", "--dry-run"])
    with pytest.raises(SystemExit) as left:
        eef_run.main()
    assert not left.value.code
    row = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("expert demonstrates"))
    tokens, dollars = (float(number.replace(",", "")) for number in re.findall(r"about ([\d.,]+)", row))
    assert tokens > 8 * 12 * 512
    assert dollars > 8 * 12 * 512 * 30 / 1e6
    assert not (tmp_path / "run").exists()


def test_a_demonstration_knows_how_it_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EEF_PLUGINS", "eef_framework.testing.plugin,attribution,experts")
    expert = {"name": "mixture", "experts": [GOOD, {**MIDDLING, "name": "corridor-expert"}], "divide": "each"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(small_settings(expert=expert, success={"threshold": 0.5})))
    monkeypatch.setattr(sys, "argv", ["eef", "collect", "own.yaml", "--out", "x.jsonl"])
    with pytest.raises(SystemExit) as left:
        main.main()
    assert not left.value.code
    for row in read_rows(tmp_path / "x.jsonl", Trajectory):
        known = row.provenance
        assert known.expert["skill"] == (1.0, 0.4)[row.attempt]
        assert known.environment["name"] == "corridor"
        assert known.environment["rooms"] == 6
        assert known.success.threshold == 0.5
        assert "eef-framework" in known.versions
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", known.date)


def test_limits_of_requests_are_not_part_of_the_provenance_and_sampling_is():
    with ChatServer() as server:
        expert = OpenAIExpert(model="test", base_url=server.url, temperature=0.5, budget={"tokens": 10**6})
        (played,) = demonstrations(expert, TASKS[:1])
        assert played.provenance.expert["temperature"] == 0.5
        assert played.provenance.expert["model"] == "test"
        assert "budget" not in played.provenance.expert
