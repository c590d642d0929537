import asyncio
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from eef_attribution.interval import IntervalAttributor

from eef_framework.config.schema import RunConfig
from eef_framework.errors import (
    AttributorFailure,
    ConfigError,
    CorruptFile,
    EefWarning,
    EnvironmentFailure,
    RunConflict,
    UnknownName,
)
from eef_framework.evaluation.run_results import RunResults
from eef_framework.interfaces import Attributor, Policy, Sampling, Simulate
from eef_framework.pipeline import run
from eef_framework.pipeline.plan import plan
from eef_framework.plugins import Registry
from eef_framework.records import (
    Attribution,
    Checkpoint,
    Conversation,
    Example,
    Observation,
    Response,
    RunMetrics,
    Segment,
    Task,
    Trajectory,
    Verdict,
)
from eef_framework.runs import read_rows
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.lookup import LoadedLookup, LookupPolicy
from eef_framework.testing.small_run import small_config


def config(**changes: Any) -> RunConfig:
    return small_config(20, 12, **{"iterations": 2, "attributor": IntervalAttributor(probes=3)} | changes)


@pytest.fixture
def change_tasks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the corridor's tasks mean something else, with the same settings."""
    tasks = Corridor.tasks

    def changed(self: Corridor, split: str) -> list[Task]:
        return [task.changed(fingerprint=f"changed {task.id}") for task in tasks(self, split)]

    return lambda: monkeypatch.setattr(Corridor, "tasks", changed)


def rows_of(out: Path) -> dict[str, Any]:
    """Return all rows of a run without what depends on the clock."""

    def timeless(lines: list[str]) -> list[Any]:
        rows = [json.loads(line) for line in lines]
        for row in rows:
            row.pop("seconds", None)
            (row.get("provenance") or {}).pop("date", None)
        return [row for row in rows if not row.get("figure", "").endswith("/seconds")]  # 0 seconds are left out

    return {
        str(path.relative_to(out)): timeless(path.read_text().splitlines()) for path in sorted(out.rglob("*.jsonl"))
    }


def table(metrics: RunResults) -> list[Any]:
    return [(row.label, row.evaluation, row.cost.model_copy(update={"seconds": 0.0})) for row in metrics.rows]


def test_the_whole_method_runs_and_leaves_its_record(tmp_path: Path) -> None:
    done = run(config(), Registry(), tmp_path / "run")
    assert [row.label for row in done.rows] == ["expert", "sft", "eef 1", "eef 2"]
    assert RunMetrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text()) == done.metrics
    for folder in ("collect", "clone", "evaluate/expert", "methods/eef/1/explore", "methods/eef/2/evaluate"):
        assert (tmp_path / "run" / folder / "stage.json").exists()
    attributions = list(read_rows(tmp_path / "run/methods/eef/1/explore/attributions.jsonl", Attribution))
    assert len(attributions) == 20
    assert {s.verdict for a in attributions for s in a.segments} > {Verdict.BENEFICIAL, Verdict.NEUTRAL}


def test_learning_raises_success_on_held_out_tasks(tmp_path: Path) -> None:
    many = {"collect": {"tasks": {"split": "train", "count": 30}}, "evaluate": {"tasks": {"split": "test"}}}
    metrics = run(config(**many, iterations=3), Registry(), tmp_path)
    success = {row.label: row.evaluation.success.mean for row in metrics.rows}
    assert success["eef 3"] > success["sft"]


@pytest.mark.parametrize("concurrency", [1, 1000])
def test_concurrency_changes_no_row_and_no_number(tmp_path: Path, concurrency: int) -> None:
    one = run(config(), Registry(), tmp_path / "a")
    other = run(config(limits={"concurrency": concurrency}), Registry(), tmp_path / "b")
    assert table(one) == table(other)
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")


class Mortal(LookupPolicy):
    """Raises at the nth answer, like a process that is killed."""

    name: ClassVar[str] = "mortal"
    left: ClassVar[int] = 0

    def load(self, checkpoint: Checkpoint) -> Policy:
        return LoadedMortal(**super().load(checkpoint).model_dump())


class LoadedMortal(LoadedLookup):
    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        Mortal.left -= 1
        if Mortal.left == 0:
            raise KeyboardInterrupt
        return await super().act(conversation, observation, sampling, seed)


def test_an_interrupted_phase_leaves_its_time_for_the_next_start(tmp_path: Path) -> None:
    Mortal.left = 60
    with pytest.raises(KeyboardInterrupt):
        run(config(policy=Mortal()), Registry(), tmp_path)
    (stage,) = [path.parent for path in tmp_path.rglob("elapsed.json")]
    assert not (stage / "stage.json").exists()
    (stage / "elapsed.json").write_text('{"seconds": 5000.0}')
    Mortal.left = 0
    run(config(policy=Mortal()), Registry(), tmp_path)
    assert json.loads((stage / "stage.json").read_text())["cost"]["seconds"] > 5000
    assert not (stage / "elapsed.json").exists()


@pytest.mark.parametrize("fatal", [1, 60, 333, 600])
def test_an_interrupted_run_that_is_taken_up_ends_with_the_same_result(tmp_path: Path, fatal: int) -> None:
    Mortal.left = 0
    whole = run(config(policy=Mortal()), Registry(), tmp_path / "whole")
    assert -Mortal.left > fatal
    Mortal.left = fatal
    with pytest.raises(KeyboardInterrupt):
        run(config(policy=Mortal()), Registry(), tmp_path / "resumed")
    resumed = run(config(policy=Mortal()), Registry(), tmp_path / "resumed")
    assert table(resumed) == table(whole)
    assert rows_of(tmp_path / "resumed") == rows_of(tmp_path / "whole")


def test_the_record_of_a_run_holds_every_setting_of_its_components(tmp_path: Path) -> None:
    run(config(iterations=0, policy={"name": "eef_framework.testing.lookup:LookupPolicy"}), Registry(), tmp_path)
    written = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert written["policy"]["epsilon"] == LookupPolicy().epsilon


def test_a_complete_run_is_not_done_again(tmp_path: Path) -> None:
    Mortal.left = 0
    first = run(config(policy=Mortal()), Registry(), tmp_path)
    Mortal.left = 1
    assert run(config(policy=Mortal()), Registry(), tmp_path).metrics == first.metrics


def test_another_configuration_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    run(config(iterations=0), Registry(), tmp_path)
    with pytest.raises(RunConflict):
        run(config(iterations=0, seed=1), Registry(), tmp_path)


def test_a_baseline_can_be_added_to_a_finished_run(tmp_path: Path) -> None:
    bold = tmp_path / "bold.yaml"
    bold.write_text("method: bold\nselect: {prefix_loss: all}\n")
    Mortal.left = 0
    alone = run(config(policy=Mortal()), Registry(), tmp_path / "run")
    spent = -Mortal.left
    both = run(config(policy=Mortal(), baselines=[str(bold)]), Registry(), tmp_path / "run")
    assert table(both)[: len(alone.rows)] == table(alone)
    assert [row.label for row in both.rows[len(alone.rows) :]] == ["bold 1", "bold 2"]
    assert -Mortal.left < 2 * spent


def test_harmful_actions_never_get_loss(tmp_path: Path) -> None:
    many = {"tasks": {"split": "train"}}
    run(config(expert=CorridorExpert(skill=0.5), collect=many, iterations=1), Registry(), tmp_path)
    place = tmp_path / "methods/eef/1"
    verdicts = {a.trajectory: a for a in read_rows(place / "explore/attributions.jsonl", Attribution)}
    played = {t.id: t for t in read_rows(place / "explore/simulations.jsonl", Trajectory)}
    continued = [e for e in read_rows(place / "select/examples.jsonl", Example) if e.source == "continuation"]
    assert continued
    for example in continued:
        origin = played[example.trajectory].origin
        assert origin is not None
        for state in example.states:
            assert state >= origin.state or verdicts[origin.trajectory].verdict(state) is Verdict.BENEFICIAL


class LastGood(Attributor):
    """Everything before the last state the agent can finish from was beneficial."""

    name = "last-good"

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
        for k in range(len(trajectory.steps) - 1, 0, -1):
            if any(map(simulate.succeeded, await simulate(k))):
                return [Segment(start=0, end=k, verdict=Verdict.BENEFICIAL)]
        return []


def test_an_attributor_of_ones_own_needs_no_registration(tmp_path: Path) -> None:
    metrics = run(config(attributor=LastGood(), iterations=1), Registry(), tmp_path)
    assert metrics.rows[-1].label == "eef 1"
    found = list(read_rows(tmp_path / "methods/eef/1/explore/attributions.jsonl", Attribution))
    assert {a.method for a in found} == {"last-good"}
    assert any(a.segments for a in found)


class Picky(Attributor):
    """Fails on some trajectories, or on all."""

    name: ClassVar[str] = "picky"

    share: int = 7
    """Every so manieth trajectory is too much for it."""

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
        await asyncio.sleep(0)
        if int(trajectory.task.id.rpartition("-")[2]) % self.share == 0:
            raise ValueError("not to my taste")
        return [Segment(start=0, end=1, verdict=Verdict.NEUTRAL)]


def test_an_attributor_that_fails_on_one_trajectory_loses_that_one_only(tmp_path: Path) -> None:
    with pytest.warns(EefWarning) as told:
        run(config(attributor=Picky(), iterations=1), Registry(), tmp_path)
    found = list(read_rows(tmp_path / "methods/eef/1/explore/attributions.jsonl", Attribution))
    failed = [a for a in found if a.error]
    (warning,) = [each.message for each in told if getattr(each.message, "code", "") == "some-attributions-failed"]
    assert (warning.details["failed"], warning.details["trajectories"]) == (len(failed), 20)
    assert len(found) == 20
    assert 0 < len(failed) < 5
    assert "attributor 'picky' failed while attributing" in failed[0].error


def test_an_attributor_that_fails_on_most_stops_the_run_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(AttributorFailure) as stopped:
        run(config(attributor=Picky(share=1), iterations=1), Registry(), tmp_path)
    assert (stopped.value.code, stopped.value.details["failed"]) == ("attributions-failed", 20)
    assert stopped.value.details["where"].startswith(f"{__file__}, line ")
    assert isinstance(stopped.value.__cause__, AttributorFailure)
    assert isinstance(stopped.value.__cause__.__cause__, ValueError)


def test_lost_episodes_above_a_share_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailure) as stopped:
        run(config(environment=Corridor(fault="raise")), Registry(), tmp_path)
    assert stopped.value.code == "episodes-lost"


def test_demonstrations_can_come_from_a_file(tmp_path: Path) -> None:
    first = run(config(), Registry(), tmp_path / "a")
    source = str(tmp_path / "a/collect/trajectories.jsonl")
    collect = {"tasks": {"split": "train", "count": 20}, "trajectories": source}
    second = run(config(collect=collect), Registry(), tmp_path / "b")
    assert table(first)[1:] == table(second)[1:]


def test_who_has_demonstrations_needs_no_expert(tmp_path: Path) -> None:
    run(config(), Registry(), tmp_path / "a")
    source = str(tmp_path / "a/collect/trajectories.jsonl")
    collect = {"tasks": {"split": "train", "count": 20}, "trajectories": source}
    evaluate = {"tasks": {"split": "test", "count": 12}, "expert": False}
    metrics = run(config(expert=None, collect=collect, evaluate=evaluate), Registry(), tmp_path / "b")
    assert [row.label for row in metrics.rows] == ["sft", "eef 1", "eef 2"]
    assert "<b>trajectories.jsonl</b>" in (tmp_path / "b/report.html").read_text()


def test_demonstrations_of_another_world_are_refused(tmp_path: Path) -> None:
    run(config(iterations=0), Registry(), tmp_path / "a")
    source = str(tmp_path / "a/collect/trajectories.jsonl")
    collect = {"tasks": {"split": "train", "count": 20}, "trajectories": source}
    with pytest.raises(CorruptFile) as refused:
        run(config(collect=collect, environment=Corridor(rooms=9)), Registry(), tmp_path / "b")
    assert (refused.value.code, refused.value.details["path"]) == ("other-world", source)


def test_a_run_is_not_resumed_where_the_file_of_a_baseline_has_changed(tmp_path: Path) -> None:
    recipe, out = tmp_path / "own.yaml", tmp_path / "run"
    recipe.write_text("method: own\niterations: 1")
    once = run(config(baselines=[str(recipe)], iterations=1), Registry(), out)
    moved = recipe.rename(tmp_path / "moved.yaml")
    assert run(config(baselines=[str(moved)], iterations=1), Registry(), out).rows == once.rows
    moved.write_text("method: own\niterations: 1\nselect: {solution: fewest-steps}")
    with pytest.raises(RunConflict) as caught:
        run(config(baselines=[str(moved)], iterations=1), Registry(), out)
    assert (caught.value.code, caught.value.details["method"]) == ("other-baseline", "own")
    with pytest.raises(RunConflict):
        plan(config(baselines=[str(moved)], iterations=1), Registry(), out)


def test_a_run_is_not_resumed_where_tasks_have_changed(tmp_path: Path, change_tasks: Callable[[], None]) -> None:
    run(config(iterations=0), Registry(), tmp_path / "run")
    before = rows_of(tmp_path / "run")
    change_tasks()
    with pytest.raises(RunConflict) as refused:
        run(config(iterations=0), Registry(), tmp_path / "run")
    assert (refused.value.code, refused.value.details["lists"]) == ("other-tasks", ["evaluate.tasks", "collect.tasks"])
    assert rows_of(tmp_path / "run") == before


def test_a_run_without_digests_of_its_tasks_is_checked_row_by_row(
    tmp_path: Path, change_tasks: Callable[[], None]
) -> None:
    """Runs of earlier versions have none."""
    out = tmp_path / "run"
    run(config(iterations=0), Registry(), out)
    manifest = json.loads((out / "run.json").read_text())
    del manifest["tasks"]
    (out / "run.json").write_text(json.dumps(manifest))
    (out / "collect" / "stage.json").unlink()
    change_tasks()
    with pytest.raises(CorruptFile) as refused:
        run(config(iterations=0), Registry(), out)
    assert refused.value.code == "other-world"
    assert len(refused.value.details["tasks"]) == 20


@pytest.mark.parametrize("iterations", [1, 2])
def test_an_attributor_that_was_edited_since_is_a_warning_and_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, iterations: int
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = """
from eef_framework import Attributor, Segment

class Edited(Attributor):
    async def attribute(self, trajectory, simulate):
        return [Segment(start=0, end=1, verdict={verdict!r})]
"""

    def started(verdict: str, **changes: Any) -> RunResults:
        (tmp_path / "edited_ideas.py").write_text(source.format(verdict=verdict), encoding="utf-8")
        monkeypatch.delitem(sys.modules, "edited_ideas", raising=False)
        importlib.invalidate_caches()
        return run(small_config(attributor="edited_ideas:Edited", **changes), out=tmp_path / "run")

    assert not [note for note in started("beneficial").metrics.notes if "edited_ideas" in note]
    with pytest.warns(EefWarning) as caught:
        results = started("harmful", iterations=iterations)
    assert "other-code" in [each.message.code for each in caught if isinstance(each.message, EefWarning)]
    assert [note for note in results.metrics.notes if "edited_ideas" in note]
    verdicts = [row.segments[0].verdict for k in range(1, iterations + 1) for row in results.attributions(iteration=k)]
    assert {*verdicts} == {Verdict.BENEFICIAL, Verdict.HARMFUL} if iterations == 2 else {Verdict.BENEFICIAL}
    undone = started("beneficial", iterations=iterations)
    assert len([note for note in undone.metrics.notes if "edited_ideas" in note]) == 1


def test_a_run_of_a_version_without_some_settings_is_resumed_with_their_defaults(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(config(iterations=0), Registry(), out)
    before = rows_of(out)
    settings = yaml.safe_load((out / "config.yaml").read_text())
    del settings["format"]["reasoning"], settings["explore"]["schedule"]
    del settings["policy"]["template"]
    (out / "config.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(RunConflict) as refused:
        run(config(iterations=0, format={"style": "action", "reasoning": "drop"}), Registry(), out)
    assert "format.reasoning: 'keep' -> 'drop'" in refused.value.details["changes"]
    run(config(iterations=0), Registry(), out)
    assert rows_of(out) == before


def test_a_run_of_a_version_that_told_of_no_tools_is_resumed_without_them(tmp_path: Path) -> None:
    out, without = tmp_path / "run", {"style": "tools", "tools": ()}
    run(config(iterations=0, format=without), Registry(), out)
    before = rows_of(out)
    settings = yaml.safe_load((out / "config.yaml").read_text())
    del settings["format"]["tools"]
    (out / "config.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(RunConflict) as refused:
        run(config(iterations=0, format={"style": "tools"}), Registry(), out)
    assert refused.value.details["changes"][0].startswith("format.tools: [] -> [{'name': 'act'")
    run(config(iterations=0, format=without), Registry(), out)
    assert rows_of(out) == before


def test_a_misspelt_component_is_found_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UnknownName) as refused:
        run(config(attributor="intervall"), Registry(), tmp_path / "run")
    assert refused.value.details["given"] == "intervall"
    assert not (tmp_path / "run").exists()


def test_more_tasks_than_there_are_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        run(config(collect={"tasks": {"split": "train", "count": 1000}}), Registry(), tmp_path)
    assert refused.value.code == "too-few-tasks"
