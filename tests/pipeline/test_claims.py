"""Nothing is claimed that isn't so: what is matched, what is trained, which tasks are played, what was left out."""

import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from eef_attribution.interval import IntervalAttributor

from eef_framework import load_run, run
from eef_framework.config.loading import load_config
from eef_framework.errors import ConfigError, EefError, EefWarning, NothingToTrain
from eef_framework.evaluation.formatting import count
from eef_framework.evaluation.run_results import RunResults
from eef_framework.interfaces import Attributor, Simulate
from eef_framework.pipeline.plan import plan
from eef_framework.plugins import Registry, load_plugins
from eef_framework.records import Segment, Spending, Task, Trajectory, Verdict
from eef_framework.runs import read_rows, write_rows
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.small_run import small_settings

SETTINGS = small_settings(10, iterations=2, expert={"name": "corridor-expert", "skill": 0.5})


class LastGood(Attributor):
    """Tries states from the end until the agent succeeds: how many, nobody knows beforehand."""

    name: ClassVar[str] = "last-good"

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
        for k in range(len(trajectory.steps) - 1, 0, -1):
            if any(map(simulate.succeeded, await simulate(k))):
                return [Segment(start=0, end=k, verdict=Verdict.BENEFICIAL)]
        return []


@pytest.fixture
def registry() -> Registry:
    registry = load_plugins(["eef_framework.testing.plugin", "attribution"], {})
    registry.register(LastGood)
    return registry


def by_task(done: RunResults, method: str, iteration: int) -> Counter[str]:
    return Counter(row.task.id for row in done.trajectories("explore", method, iteration))


@pytest.mark.parametrize("attributor", ["last-good", {"name": "interval", "probes": 3}])
def test_a_matched_baseline_gets_what_the_main_method_spent_task_by_task(
    registry: Registry, tmp_path: Path, attributor: Any
) -> None:
    done = run(SETTINGS | {"attributor": attributor, "baselines": ["rft-matched"]}, registry, tmp_path)
    for iteration in (1, 2):
        spent = by_task(done, "eef", iteration)
        assert by_task(done, "rft-matched", iteration) == spent
        assert max(spent.values()) > 1
    assert all(row.origin is None for row in done.trajectories("explore", "rft-matched"))
    costs = {row.label: row.cost.simulations for row in done.rows}
    assert costs["eef 2"] == costs["rft-matched 2"]
    (note,) = done.metrics.notes
    for method in ("eef", "rft-matched"):
        of_method = sum(done.spending(method).values(), Spending())
        assert re.search(
            rf"{method} (played )?{of_method.simulations:,}\b[^(]*\({count(of_method.tokens)} tokens\)", note
        )
    spending = done.spending("eef", 1)
    assert {task: each.simulations for task, each in spending.items()} == by_task(done, "eef", 1)
    assert sum(each.steps for each in done.spending("eef").values()) > 0


def test_a_method_that_selects_otherwise_explores_alike_in_the_first_iteration(
    registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "all.yaml").write_text("method: eef-keep-all\nselect: {prefix_loss: all}\n")
    settings = SETTINGS | {"attributor": {"name": "interval", "probes": 3}, "baselines": [str(tmp_path / "all.yaml")]}
    done = run(settings, registry, tmp_path / "run")
    first, other = (
        [(row.id.removeprefix(method), row.actions) for row in done.trajectories("explore", method, 1)]
        for method in ("eef", "eef-keep-all")
    )
    assert first == other
    assert len(first) > 10


def test_what_interval_plans_is_what_it_is_measured_to_spend(registry: Registry, tmp_path: Path) -> None:
    attributor = IntervalAttributor(probes=3)
    done = run(SETTINGS | {"attributor": attributor, "iterations": 1}, registry, tmp_path)
    demonstrations = {row.task.id: row for row in done.trajectories("collect")}
    planned = {
        task: sum(attributor.planned_simulations(len(row.steps)).values()) for task, row in demonstrations.items()
    }
    assert by_task(done, "eef", 1) == planned


def test_a_matched_method_alone_gets_what_its_attributor_plans(registry: Registry, tmp_path: Path) -> None:
    alone = SETTINGS | {"extends": "rft-matched", "iterations": 1}
    done = run(alone, registry, tmp_path / "alone")
    assert sum(by_task(done, "rft-matched", 1).values()) > 10
    assert any("interval" in note for note in done.metrics.notes)
    for attributor in ("last-good", None):
        with pytest.raises(ConfigError) as refused:
            run(alone | {"attributor": attributor}, registry, tmp_path / "refused")
        assert refused.value.code == "nothing-to-match"
    assert not (tmp_path / "refused").exists()


def test_a_plan_is_a_bound(registry: Registry, tmp_path: Path) -> None:
    settings = SETTINGS | {"attributor": {"name": "interval", "probes": 3}, "baselines": ["rft-matched"]}
    config = load_config(settings | {"limits": {"steps": 7}}, registry=registry)
    planned = dict(plan(config, registry, tmp_path).phases)
    done = run(config, registry, tmp_path)
    for method in ("eef", "rft-matched"):
        for iteration in (1, 2):
            bound = planned[f"{method}/{iteration}: explore"]
            assert bound.episodes is not None
            assert sum(by_task(done, method, iteration).values()) <= bound.episodes <= 10 * 4
    assert plan(config, registry, tmp_path / "c").longest_episode == 7
    unknown = load_config(settings | {"attributor": "last-good"}, registry=registry)
    assert dict(plan(unknown, registry, tmp_path / "b").phases)["eef/1: explore"].episodes is None


def test_a_baseline_that_adds_nothing_is_told(registry: Registry, tmp_path: Path) -> None:
    with pytest.warns(EefWarning) as said:
        done = run(SETTINGS | {"iterations": 0, "baselines": ["rft"]}, registry, tmp_path)
    assert [each.message.code for each in said if isinstance(each.message, EefWarning)] == ["empty-baseline"]
    assert [row.label for row in done.rows] == ["expert", "sft"]


def test_a_policy_without_weights_is_refused_where_it_would_be_trained(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        run(SETTINGS | {"policy": "scripted"}, registry, tmp_path / "run")
    assert refused.value.code == "policy-without-weights"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "attributor", ["likelihood", {"name": "propose-verify", "proposer": "likelihood", "simulations": 1}]
)
def test_a_policy_without_scores_is_refused_before_it_plays(
    registry: Registry, tmp_path: Path, attributor: str | dict[str, Any]
) -> None:
    settings = SETTINGS | {"policy": "scripted", "clone": {"on": "none", "trainer": "lookup"}}
    with pytest.raises(ConfigError) as refused:
        run(settings | {"attributor": attributor}, registry, tmp_path / "run")
    assert (refused.value.code, refused.value.details["policy"]) == ("scoring-unsupported", "scripted")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("policy", ["scripted", "lookup"])
def test_an_agent_is_evaluated_as_it_is_and_called_untrained(registry: Registry, tmp_path: Path, policy: str) -> None:
    settings = {key: SETTINGS[key] for key in ("environment", "expert", "format", "evaluate", "collect")}
    settings |= {"extends": "untrained", "policy": policy, "clone": {"on": "none", "trainer": "lookup"}}
    done = run(settings, registry, tmp_path)
    assert [row.label for row in done.rows] == ["expert", "untrained"]
    assert len(done.trajectories("collect")) == (10 if policy == "lookup" else 0)  # only a model is made from them
    assert "imitated the expert" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("policy", ["scripted", "lookup"])
def test_an_untrained_agent_is_evaluated_without_an_expert(registry: Registry, tmp_path: Path, policy: str) -> None:
    settings = {key: SETTINGS[key] for key in ("environment", "format", "evaluate")}
    done = run(settings | {"extends": "untrained", "policy": policy}, registry, tmp_path)
    assert [row.label for row in done.rows] == ["untrained"]
    assert not (tmp_path / "collect").exists()
    assert (tmp_path / "report.html").exists()


def test_an_agent_that_is_trained_needs_an_expert(registry: Registry, tmp_path: Path) -> None:
    settings = {key: value for key, value in SETTINGS.items() if key != "expert"}
    with pytest.raises(ConfigError) as refused:
        run(settings, registry, tmp_path / "run")
    assert refused.value.code == "expert-missing"


def test_an_untrained_agent_can_stand_beside_a_trained_one(registry: Registry, tmp_path: Path) -> None:
    done = run(SETTINGS | {"iterations": 1, "baselines": ["untrained"]}, registry, tmp_path)
    assert [row.label for row in done.rows] == ["expert", "sft", "eef 1", "untrained"]
    assert not list(tmp_path.glob("methods/untrained/clone"))


def test_without_weights_exploring_and_choosing_is_all_there_is(registry: Registry, tmp_path: Path) -> None:
    settings = SETTINGS | {"policy": "scripted", "clone": {"on": "none", "trainer": "lookup"}, "iterations": 1}
    done = run(settings | {"attributor": "last-good"}, registry, tmp_path)
    assert [row.label for row in done.rows] == ["expert", "untrained"]
    assert done.trajectories("explore")
    assert list(tmp_path.glob("methods/eef/1/select/examples.jsonl"))


def test_an_evaluation_on_training_tasks_is_marked(registry: Registry, tmp_path: Path) -> None:
    settings = SETTINGS | {"iterations": 0, "evaluate": {"tasks": {"split": "train", "count": 12}}}
    with pytest.warns(EefWarning) as said:
        done = run(settings, registry, tmp_path)
    warning = next(each.message for each in said if getattr(each.message, "code", "") == "training-tasks")
    assert (warning.details["tasks"], warning.details["split"]) == (10, "train")  # type: ignore[union-attr]
    assert str(warning) in done.metrics.notes
    assert all(row.evaluation.split == "train" for row in done.rows)


def test_tasks_with_the_content_of_training_tasks_are_marked(registry: Registry, tmp_path: Path) -> None:
    class Repeating(Corridor):
        def tasks(self, split: str) -> list[Task]:
            return [
                task.changed(fingerprint=f"{index // 2}" if split == "train" else f"{4 + index}")
                for index, task in enumerate(super().tasks(split))
            ]

    with pytest.warns(EefWarning) as said:
        run(SETTINGS | {"iterations": 0, "environment": Repeating()}, registry, tmp_path)
    (warning,) = [each.message for each in said if getattr(each.message, "code", "") == "training-tasks"]
    assert warning.details["tasks"] == 1  # type: ignore[union-attr]  # 0 to 4 are trained on, 4 to 9 evaluated


def test_a_file_of_demonstrations_that_is_used_in_part_says_how_much(registry: Registry, tmp_path: Path) -> None:
    first = run(SETTINGS | {"iterations": 0}, registry, tmp_path / "a")
    rows = first.trajectories("collect")
    write_rows(tmp_path / "given.jsonl", [*rows[:7], *first.trajectories("evaluate")])
    settings = SETTINGS | {
        "iterations": 0,
        "collect": {"trajectories": str(tmp_path / "given.jsonl"), "tasks": {"count": 9}},
    }
    with pytest.warns(EefWarning) as said:
        done = run(settings, registry, tmp_path / "b")
    details = next(each.message.details for each in said if getattr(each.message, "code", "") == "input-used-in-part")
    assert str(details["path"]) == str(tmp_path / "given.jsonl")
    codes = {each.message.code for each in said if isinstance(each.message, EefWarning)}
    assert {"input-used-in-part", "tasks-without-trajectories"} <= codes
    assert len(done.metrics.notes) == len(codes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = run(settings, registry, tmp_path / "b")  # told once, and kept
    assert again.metrics.notes == done.metrics.notes


def test_the_limit_of_steps_binds_the_expert_as_it_binds_the_agent(registry: Registry, tmp_path: Path) -> None:
    settings = SETTINGS | {"iterations": 0, "expert": {"name": "corridor-expert", "skill": 0.6}}
    free = run(settings, registry, tmp_path / "free")
    bound = run(settings | {"limits": {"steps": 6}}, registry, tmp_path / "bound")
    for one, other in zip(free.trajectories("collect"), bound.trajectories("collect"), strict=True):
        assert other.steps == one.steps[:6]
        if len(one.steps) > 6:
            assert (other.ending, other.reward) == ("step-limit", 0.0)
        else:
            assert (other.ending, other.reward) == (one.ending, one.reward)
    assert any(row.ending == "step-limit" for row in bound.trajectories("collect"))
    assert max(len(row.steps) for row in bound.trajectories("evaluate")) <= 6
    path = str(tmp_path / "free/collect/trajectories.jsonl")
    collect = {"trajectories": path, "tasks": {"count": 10}}
    with pytest.warns(EefWarning) as said:
        run(settings | {"limits": {"steps": 6}, "collect": collect}, registry, tmp_path / "recorded")
    assert "longer-than-limit" in [each.message.code for each in said if isinstance(each.message, EefWarning)]


def test_an_expert_that_solves_nothing_is_told_as_that(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(NothingToTrain) as refused:
        run(SETTINGS | {"expert": {"name": "corridor-expert", "skill": 0.0}}, registry, tmp_path)
    assert refused.value.code == "no-expert-success"
    assert refused.value.details["demonstrations"] == 10
    assert len(list(read_rows(tmp_path / "collect/trajectories.jsonl", Trajectory))) == 10
    assert load_run(tmp_path).finished is False


def test_components_are_asked_before_anything_is_written(registry: Registry, tmp_path: Path) -> None:
    class Absent(LastGood):
        """Can't work here."""

        name: ClassVar[str] = "absent"
        problem: str = "config"

        def preflight(self) -> None:
            if self.problem == "config":
                raise ConfigError("no such library", code="library-missing")
            raise OSError("no such device")

    registry.register(Absent)
    for problem, code in (("config", "library-missing"), ("own", "preflight-failed")):
        with pytest.raises(EefError) as refused:
            run(SETTINGS | {"attributor": {"name": "absent", "problem": problem}}, registry, tmp_path / "run")
        assert refused.value.code == code
    assert not (tmp_path / "run").exists()
