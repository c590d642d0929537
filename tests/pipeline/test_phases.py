"""The phases one by one, from files to files."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eef_attribution.interval import IntervalAttributor

from eef_framework.config.schema import RunConfig
from eef_framework.errors import AttributorFailure, ConfigError, EefWarning
from eef_framework.pipeline import RunContext, run
from eef_framework.pipeline.phases import (
    Attribute,
    Collect,
    Evaluate,
    ExplorationFiles,
    Explore,
    ImportDemonstrations,
    InitialCheckpoint,
    Select,
    Train,
)
from eef_framework.pipeline.rows import Rows
from eef_framework.plugins import Registry, load_plugins
from eef_framework.records import Attribution, Example, Selected, Trajectory
from eef_framework.runs import RunDirectory, StageKey, read_rows
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.small_run import small_config


def config(**changes: Any) -> RunConfig:
    usual = {"iterations": 2, "expert": CorridorExpert(skill=0.5), "attributor": IntervalAttributor(probes=3)}
    return small_config(20, 12, **usual | changes)


@pytest.fixture
def context() -> Iterator[RunContext]:
    with RunContext(config(), Registry()) as context:
        yield context


class Files:
    """The files that the phases of a test leave in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.expert = Rows(folder / "expert.jsonl", Trajectory)
        self.explored = ExplorationFiles(folder / "explore")
        self.base = InitialCheckpoint(demonstrations=self.expert, folder=folder / "base")

    def explore(self, context: RunContext) -> None:
        """Collect, make a model, explore with it."""
        Collect(tasks=context.config.collect.tasks, demonstrations=self.expert).run(context)
        self.base.run(context)
        given = {"variant": context.config, "demonstrations": self.expert, "weights": self.base}
        Explore(files=self.explored, **given).run(context)

    def attribute(self, context: RunContext, **changes: Any) -> list[Attribution]:
        """Attribute once more."""
        phase = Attribute(
            variant=context.config,
            demonstrations=self.expert,
            simulations=self.explored.simulations,
            attributions=Rows(self.folder / "again.jsonl", Attribution),
        )
        phase.run(context)
        return list(read_rows(self.folder / "again.jsonl", Attribution))


def test_the_phases_make_up_the_method_one_by_one_through_files(context: RunContext, tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.explore(context)
    trainer = context.config.clone.trainer
    given: dict[str, Any] = {"variant": context.config, "demonstrations": files.expert}
    cloning, chosen = (Rows(tmp_path / f"{name}.jsonl", Example) for name in ("clone", "eef"))
    Select(examples=cloning, **given).run(context)
    Select(examples=chosen, explorations=[files.explored], **given).run(context)
    clone = Train(trainer=trainer, examples=cloning, start=files.base, folder=tmp_path / "clone")
    clone.run(context)
    tune = Train(trainer=trainer, examples=chosen, start=clone, folder=tmp_path / "eef")
    tune.run(context)
    evaluate = Evaluate(
        tasks=context.config.evaluate.tasks, weights=tune, played=Rows(tmp_path / "evaluation.jsonl", Trajectory)
    )
    evaluate.run(context)
    evaluation = evaluate.evaluation(context)
    assert {e.source for e in cloning.read()} == {"expert"}
    assert {e.source for e in chosen.read()} > {"expert", "agent"}
    assert len(files.explored.simulations.read()) > len(files.expert.read()) == 20
    assert len(files.explored.attributions.read()) == 20
    assert tune.result.trained_tokens > 0
    assert (evaluation.episodes, evaluation.errors) == (12, 0)
    assert list(read_rows(tmp_path / "eef.jsonl", Example)) == chosen.read()
    assert len(list(read_rows(tmp_path / "evaluation.jsonl", Trajectory))) == 12


def test_attributing_recorded_simulations_again_gives_the_same_verdicts(context: RunContext, tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.explore(context)
    assert files.attribute(context) == files.explored.attributions.read()


def test_attributing_with_more_probes_than_were_simulated_says_so(context: RunContext, tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.explore(context)
    more = config(attributor=IntervalAttributor(probes=3, simulations=2))
    with RunContext(more, Registry()) as other, pytest.raises(AttributorFailure) as refused:
        files.attribute(other)
    assert (refused.value.code, refused.value.details["first"]) == ("attributions-failed", "simulations-missing")
    assert not (tmp_path / "again.jsonl").exists()


def test_attributing_without_an_attributor_says_how_to_name_one(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with RunContext(config(attributor=None), Registry()) as context:
        files.explore(context)
        with pytest.raises(ConfigError) as refused:
            files.attribute(context)
    assert refused.value.code == "attributor-missing"


@pytest.mark.parametrize("which", ["prefix", "all"])
def test_actions_that_made_no_difference_are_left_out_of_what_is_learned(
    context: RunContext, tmp_path: Path, which: str
) -> None:
    files = Files(tmp_path)
    files.explore(context)

    def chosen(**settings: Any) -> list[Example]:
        variant = config(select=settings)
        rows = Rows(tmp_path / f"{settings}.jsonl", Example)
        given: dict[str, Any] = {"variant": variant, "demonstrations": files.expert}
        Select(examples=rows, explorations=[files.explored], **given).run(context)
        return rows.read()

    whole = {example.id: example for example in chosen()}
    shorter = chosen(shorten=which)
    assert chosen(shorten=which) == shorter
    left_out = [example for example in shorter if example.info.get("left_out")]
    assert left_out
    for example in shorter:
        # What an example shows and answers stays as it was recorded; the last of few observations is the same.
        assert example.messages == whole[example.id].messages
        assert example.states == whole[example.id].states
        assert not set(example.states) & set(example.info.get("left_out", ()))  # type: ignore[arg-type]
        assert example.info["steps"] <= whole[example.id].info["steps"]  # type: ignore[operator]


def test_a_run_records_what_became_of_every_success(tmp_path: Path) -> None:
    settings = config(
        iterations=1,
        select={"shorten": "all"},
        filters=[{"name": "cap-per-task", "trajectories": 1}, "weigh-trajectories"],
    )
    run(settings, load_plugins(), tmp_path / "run")
    layout = RunDirectory(tmp_path / "run").layout
    demonstrations = Rows(layout.trajectories(StageKey("collect")), Trajectory).read()
    simulations = Rows(layout.trajectories(StageKey("explore", "eef", 1)), Trajectory).read()
    examples = Rows(layout.examples("eef", 1), Example).read()
    stage = layout.stage(StageKey("select", "eef", 1))
    found = Rows(stage.path / "selected.jsonl", Selected).read()
    successes = {row.id: row for row in (*demonstrations, *simulations) if settings.success.holds(row)}
    assert [row.trajectory for row in found] == list(successes)
    assert {row.outcome for row in found} == {"learned", "filtered", "not-selected"}
    assert {row.trajectory for row in found if row.outcome == "learned"} == {each.trajectory for each in examples}
    for row in found:
        steps = range(len(successes[row.trajectory].steps))
        trained = sorted(state for each in examples if each.trajectory == row.trajectory for state in each.states)
        assert list(row.trained) == trained
        if row.outcome == "not-selected":
            assert row.reason
            assert not row.source
        else:
            assert sorted([*row.trained, *row.masked, *row.left_out]) == list(steps)
            assert row.reason == ("" if row.outcome == "learned" else "cap-per-task")
            assert row.weight == pytest.approx(1.0 if row.outcome == "learned" else 0.0)
    assert any(row.left_out for row in found)
    manifest = stage.manifest
    assert manifest is not None
    assert manifest.rows["selected.jsonl"] == len(found)
    table = layout.stage(StageKey("explore", "eef", 1)).manifest
    assert table is not None
    # The replays are steps of the method.
    metrics = json.loads(layout.metrics.read_text())
    assert metrics["rows"][-1]["cost"]["steps"] == table.cost.steps + manifest.cost.steps
    assert manifest.cost.steps > 0
    assert "made no difference" in layout.metrics.read_text()


@pytest.mark.parametrize("missing", ["open", None])
def test_actions_that_are_calls_of_no_tool_are_told(missing: str | None, tmp_path: Path) -> None:
    tools = [{"name": name, "action": f"{name}[{{it}}]"} for name in ("go", "take", "open") if name != missing]
    settings = config(format={"style": "tools", "tools": tools}, expert=CorridorExpert())
    expert, again = (Rows(tmp_path / f"{name}.jsonl", Trajectory) for name in ("expert", "again"))
    with RunContext(settings, Registry()) as context, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        Collect(tasks=settings.collect.tasks, demonstrations=expert).run(context)
        given = {"tasks": settings.collect.tasks, "source": expert.path, "demonstrations": again}
        ImportDemonstrations(**given).run(context)
    told = [each.message for each in said if isinstance(each.message, EefWarning)]
    assert [each.code for each in told] == ["actions-without-tool"] * 2 * bool(missing)
    assert all(each.details["first"].startswith("open[") for each in told)
