"""Whole runs in which nothing can be learned, or hardly anything: a sensible result, or an error that says why."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from eef_framework.config.loading import load_config
from eef_framework.config.schema import Budget, RunConfig
from eef_framework.errors import ConfigError, EnvironmentFailure, NothingToTrain
from eef_framework.interfaces import TrainablePolicy
from eef_framework.pipeline import run
from eef_framework.plugins import Registry, load_plugins
from eef_framework.records import Checkpoint, Example, Response, Selected, Trajectory
from eef_framework.runs import RunLayout, StageKey, read_rows
from eef_framework.testing.lookup import LoadedLookup, LookupPolicy, LookupTrainer
from eef_framework.testing.small_run import small_config, small_settings

EXPLORING = ("eef", "eef-adaptive", "rft", "dagger", "early-experience")
FIRST_STEP_SOLVES = ("limits.steps=1", "success.threshold=0")
"""Every episode has one action, and is a success."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins(["builtin", "eef_framework.testing.plugin", "eef_attribution.plugin"], {})


def small(registry: Registry, recipe: str, skill: float, *more: str) -> RunConfig:
    expert = {"name": "corridor-expert", "skill": skill}
    return load_config(small_settings(8, 4, expert=expert, extends=recipe), more, {}, registry)


def learned_from(layout: RunLayout, method: str) -> list[str]:
    return [row.source for row in read_rows(layout.examples(method, 1), Example)]


@pytest.mark.parametrize("recipe", EXPLORING)
def test_an_expert_without_failures(tmp_path: Path, registry: Registry, recipe: str) -> None:
    metrics = run(small(registry, recipe, 1.0), registry, tmp_path / "run").metrics
    assert metrics.rows[-1].evaluation.episodes == 4
    assert "expert" in learned_from(RunLayout(tmp_path / "run"), recipe)


@pytest.mark.parametrize("recipe", EXPLORING)
def test_an_expert_without_successes(tmp_path: Path, registry: Registry, recipe: str) -> None:
    with pytest.raises(NothingToTrain) as caught:
        run(small(registry, recipe, 0.0), registry, tmp_path / "run")
    assert caught.value.code == "no-expert-success"


@pytest.mark.parametrize("recipe", [name for name in EXPLORING if name != "dagger"])
def test_nobody_succeeds(tmp_path: Path, registry: Registry, recipe: str) -> None:
    settings = ("clone.on=none", "success.threshold=2")
    with pytest.raises(NothingToTrain) as caught:
        run(small(registry, recipe, 0.5, *settings), registry, tmp_path / "run")
    assert caught.value.code == "nothing-solved"


def test_an_experts_advice_is_learned_although_nobody_succeeds(tmp_path: Path, registry: Registry) -> None:
    run(small(registry, "dagger", 0.5, "clone.on=none", "success.threshold=2"), registry, tmp_path / "run")
    assert set(learned_from(RunLayout(tmp_path / "run"), "dagger")) == {"advice"}


@pytest.mark.filterwarnings("ignore:.*(gave no verdict|verdicts have no effect):eef_framework.errors.EefWarning")
@pytest.mark.parametrize("recipe", EXPLORING)
def test_episodes_of_one_action(tmp_path: Path, registry: Registry, recipe: str) -> None:
    metrics = run(small(registry, recipe, 0.5, *FIRST_STEP_SOLVES), registry, tmp_path / "run").metrics
    assert metrics.rows[-1].evaluation.steps.mean == 1.0
    layout = RunLayout(tmp_path / "run")
    selected = read_rows(layout.examples(recipe, 1).with_name("selected.jsonl"), Selected)
    assert {row.trained for row in selected} <= {(0,), ()}
    assert learned_from(layout, recipe)


@pytest.mark.parametrize("recipe", EXPLORING)
def test_all_simulations_are_lost(tmp_path: Path, registry: Registry, recipe: str) -> None:
    run(small(registry, "sft", 0.5), registry, tmp_path / "sft")
    known = f"collect.trajectories={RunLayout(tmp_path / 'sft').trajectories(StageKey('collect'))}"
    broken = "environment={name: corridor, fault: open}"
    settings = (known, broken, "evaluate.expert=false", "clone.on=none")
    with pytest.raises(EnvironmentFailure) as caught:
        run(small(registry, recipe, 0.5, *settings), registry, tmp_path / "run")
    assert caught.value.code == "episodes-lost"
    assert caught.value.details["lost"] == caught.value.details["episodes"] > 0


def test_episodes_that_are_lost_at_every_start_count_once(tmp_path: Path, registry: Registry) -> None:
    run(small(registry, "sft", 0.5), registry, tmp_path / "sft")
    known = f"collect.trajectories={RunLayout(tmp_path / 'sft').trajectories(StageKey('collect'))}"
    settings = (known, "environment={name: corridor, fault: open}", "evaluate.expert=false", "clone.on=none")
    counted = []
    for _ in range(3):
        with pytest.raises(EnvironmentFailure) as caught:
            run(small(registry, "rft", 0.5, *settings), registry, tmp_path / "run")
        assert caught.value.code == "episodes-lost"
        counted.append((caught.value.details["lost"], caught.value.details["episodes"]))
    assert len(set(counted)) == 1


def test_a_lone_surrogate_in_every_answer_ends_nothing(tmp_path: Path) -> None:
    class Torn(LoadedLookup):
        async def act(self, *given: Any) -> Response:
            response = await super().act(*given)
            return response.changed(text=f"\ud83d {response.text}")

    class Policy(LookupPolicy):
        name: ClassVar[str] = "torn"

        def load(self, checkpoint: Checkpoint) -> Torn:
            return Torn(table=checkpoint.read_json(), epsilon=self.epsilon, template=self.template)

    class Trainer(LookupTrainer):
        policies: ClassVar[Sequence[type[TrainablePolicy]]] = (Policy,)

    run(small_config(4, 2, policy=Policy(), clone={"trainer": Trainer()}), Registry(), tmp_path)
    rows = list(read_rows(RunLayout(tmp_path).trajectories(StageKey("evaluate")), Trajectory))
    answers = [step.response for row in rows for step in row.steps]
    assert answers
    assert all(answer is not None and answer.text.startswith("\ufffd ") and answer.parsed for answer in answers)


@pytest.mark.parametrize("limit", Budget.model_fields)
def test_a_budget_of_0_is_refused(registry: Registry, limit: str) -> None:
    with pytest.raises(ConfigError) as caught:
        small(registry, "eef-adaptive", 0.5, f"explore.schedule.budget={{{limit}: 0}}")
    assert caught.value.details["settings"] == [f"explore.schedule.budget.{limit}"]
    assert caught.value.details["reasons"] == ["greater_than"]


def test_a_budget_below_one_episode_leaves_the_experts_successes(tmp_path: Path, registry: Registry) -> None:
    config = small(registry, "eef-adaptive", 0.5, "explore.schedule.budget={simulations: 0.01}")
    metrics = run(config, registry, tmp_path / "run").metrics
    layout = RunLayout(tmp_path / "run")
    assert list(read_rows(layout.trajectories(StageKey("explore", "eef-adaptive", 1)), Trajectory)) == []
    assert set(learned_from(layout, "eef-adaptive")) == {"expert"}
    assert metrics.rows[-1].evaluation.episodes == 4


@pytest.mark.parametrize("clone", ["successes", "none"])
def test_an_expert_without_thoughts_where_thoughts_alone_are_learned(
    tmp_path: Path, registry: Registry, clone: str
) -> None:
    settings = ("format.train_actions=false", f"clone.on={clone}")
    with pytest.raises(NothingToTrain) as caught:
        run(small(registry, "rft", 1.0, *settings), registry, tmp_path / "run")
    assert caught.value.code == "no-turn-with-loss"
    assert caught.value.details["trajectories"] >= 8


def test_filters_that_drop_everything_are_named(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(NothingToTrain) as caught:
        run(small(registry, "rft", 1.0, "filters=[{name: limit-length, characters: 1}]"), registry, tmp_path / "run")
    assert caught.value.code == "all-filtered"
    assert caught.value.details["dropped"] == {"limit-length": caught.value.details["dropped"]["limit-length"]}
