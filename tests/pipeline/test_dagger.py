"""The recipe dagger: the expert says what it would do in the states that the agent comes to."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from eef_framework.config.loading import load_config
from eef_framework.config.schema import RunConfig
from eef_framework.errors import ConfigError, CorruptFile, EnvironmentFailure
from eef_framework.interfaces import Expert
from eef_framework.pipeline import run, variants
from eef_framework.plugins import Registry, load_plugins
from eef_framework.records import Example, Trajectory
from eef_framework.runs import RunLayout, StageKey, read_rows
from eef_framework.testing.corridor import best_action
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.small_run import small_settings


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins(["builtin", "eef_framework.testing.plugin", "eef_attribution.plugin"], {})


def small(registry: Registry, *more: str, recipe: str = "dagger") -> RunConfig:
    expert = {"name": "corridor-expert", "skill": 0.8}
    return load_config(small_settings(12, 4, expert=expert, extends=recipe), more, {}, registry)


def test_the_expert_is_asked_once_in_each_state_that_the_agent_came_to(tmp_path: Path, registry: Registry) -> None:
    run(small(registry), registry, tmp_path / "run")
    folder = tmp_path / "run/methods/dagger/1"
    played = list(read_rows(folder / "explore/simulations.jsonl", Trajectory))
    advice = list(read_rows(folder / "explore/advice.jsonl", Trajectory))
    states = {(episode.task.id, episode.actions[:k]) for episode in played for k in range(len(episode.steps))}
    assert sorted((row.task.id, row.actions[:-1]) for row in advice) == sorted(states)
    for row in advice:
        assert row.actor == "expert/corridor-expert"
        assert row.prefix_length == len(row.steps) - 1
    right = sum(row.actions[-1] == best_action(row.observation(row.prefix_length).text) for row in advice)
    assert right > 0.6 * len(advice)


def test_the_experts_actions_are_learned_in_the_agents_states(tmp_path: Path, registry: Registry) -> None:
    run(small(registry), registry, tmp_path / "run")
    folder = tmp_path / "run/methods/dagger/1"
    advice = {row.id: row for row in read_rows(folder / "explore/advice.jsonl", Trajectory)}
    examples = list(read_rows(folder / "select/examples.jsonl", Example))
    assert {example.source for example in examples} == {"expert", "advice"}
    advised = [example for example in examples if example.source == "advice"]
    assert {example.trajectory for example in advised} == set(advice)
    for example in advised:
        row = advice[example.trajectory]
        assert example.states == (row.prefix_length,)
        assert example.messages[-1].content == f"Action: {row.actions[-1]}"
        assert [message.weight for message in example.messages if message.role == "assistant"] == [1.0]


def test_an_interrupted_run_asks_only_for_what_is_missing(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = run(small(registry), registry, tmp_path / "run")
    layout = RunLayout(tmp_path / "run")
    advice = layout.path / StageKey("explore", "dagger", 1).path / "advice.jsonl"
    lines = advice.read_text().splitlines(keepends=True)
    advice.write_text("".join(lines[:5]))
    for stage in (*layout.path.glob("methods/dagger/1/*/stage.json"), layout.path / "metrics.json"):
        stage.unlink()
    asked: list[int] = []
    original = CorridorExpert.continue_from

    def counting(self: CorridorExpert, environment: Any, states: Any, *rest: Any, **more: Any) -> Any:
        asked.append(len(states))
        return original(self, environment, states, *rest, **more)

    monkeypatch.setattr(CorridorExpert, "continue_from", counting)
    again = run(small(registry), registry, tmp_path / "run")
    assert [row.evaluation for row in again.rows] == [row.evaluation for row in metrics.rows]
    assert asked == [len(lines) - 5]
    assert [line.split('"seconds"')[0] for line in advice.read_text().splitlines()] == [
        line.rstrip("\n").split('"seconds"')[0] for line in lines
    ]


class Unreachable(CorridorExpert):
    """Its answers are lost while it can't be reached."""

    name: ClassVar[str] = "unreachable-expert"
    reachable: ClassVar[bool] = False

    async def continue_from(self, *arguments: Any, **named: Any) -> AsyncIterator[Trajectory]:
        async for row in super().continue_from(*arguments, **named):
            lost = row.changed(ending="error", error="down", lost_tokens=100, steps=row.steps[: row.prefix_length])
            yield row if self.reachable else lost


def test_what_lost_advice_cost_is_counted_when_the_run_goes_on(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(registry).model_copy(update={"expert": None})
    config = RunConfig.model_validate({**dict(config), "expert": Unreachable(skill=0.8)})
    with pytest.raises(EnvironmentFailure) as refused:
        run(config, registry, tmp_path / "run")
    assert refused.value.code == "episodes-lost"
    monkeypatch.setattr(Unreachable, "reachable", True)
    run(config, registry, tmp_path / "run")
    key = StageKey("explore", "dagger", 1)
    advice = list(read_rows(RunLayout(tmp_path / "run").path / key.path / "advice.jsonl", Trajectory))
    assert {row.lost_tokens for row in advice} == {100}


@pytest.mark.parametrize("name", ["advice.jsonl", "simulations.jsonl"])
def test_a_file_of_an_exploration_that_lost_rows_is_noticed_when_the_run_goes_on(
    tmp_path: Path, registry: Registry, name: str
) -> None:
    run(small(registry), registry, tmp_path / "run")
    layout = RunLayout(tmp_path / "run")
    path = layout.path / StageKey("explore", "dagger", 1).path / name
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    layout.stage(StageKey("select", "dagger", 1)).path.joinpath("stage.json").unlink()
    with pytest.raises(CorruptFile) as refused:
        run(small(registry), registry, tmp_path / "run")
    assert (refused.value.code, refused.value.details["path"]) == ("rows-missing", str(path))


class Recording(Expert):
    """Can only demonstrate."""

    name: ClassVar[str] = "recording-only"

    async def demonstrate(self, environment: Any, tasks: Any, seed: int) -> AsyncIterator[Trajectory]:
        async for each in CorridorExpert().demonstrate(environment, tasks, seed):
            yield each


def test_an_expert_that_only_demonstrates_is_refused_before_anything_starts(tmp_path: Path, registry: Registry) -> None:
    config = small(registry).model_copy(update={"expert": None})
    config = RunConfig.model_validate({**dict(config), "expert": Recording()})
    with pytest.raises(ConfigError) as caught:
        run(config, registry, tmp_path / "run")
    assert (caught.value.code, caught.value.details["expert"]) == ("expert-cannot-continue", "recording-only")
    assert not (tmp_path / "run/collect").exists()

    async def ask() -> None:
        async for _ in Recording().continue_from(None, [], 0):  # type: ignore[arg-type]
            raise AssertionError

    with pytest.raises(ConfigError) as caught:
        asyncio.run(ask())
    assert caught.value.code == "expert-cannot-continue"


def test_methods_beside_it_are_not_given_advice(registry: Registry) -> None:
    for main, others in (("dagger", "[eef, rft, eef-adaptive]"), ("eef", "[dagger]")):
        config = small(registry, f"baselines={others}", recipe=main)
        for each in variants(config, registry):
            ours = each.method == "dagger"
            assert (each.explore.advice, each.select.initial, each.select.recovery) == (ours, not ours, not ours)
