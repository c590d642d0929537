"""Exploration that adapts, with a real agent in a small environment."""

import io
import random
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from eef_attribution.bisect import BisectAttributor
from eef_attribution.interval import IntervalAttributor
from rich.console import Console

from eef_framework.config.schema import RunConfig
from eef_framework.errors import EefWarning
from eef_framework.interfaces import Attributor, Simulate
from eef_framework.pipeline import RunContext, run
from eef_framework.pipeline.phases import Collect, ExplorationFiles, Explore, InitialCheckpoint
from eef_framework.pipeline.rows import Rows
from eef_framework.plugins import Registry, load_plugins
from eef_framework.records import Segment, Trajectory, Verdict
from eef_framework.runs import RunDirectory, StageKey
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.small_run import small_config

TASKS = 20


def config(schedule: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    explore = {"simulations": 2, "attribute": "failures", "schedule": schedule or {"budget": {"simulations": 5}}}
    usual = {"iterations": 2, "expert": CorridorExpert(skill=0.5), "attributor": IntervalAttributor(probes=3)}
    usual["explore"] = explore | changes.pop("explore", {})
    return small_config(TASKS, 12, **usual | changes)


class Explored:
    """An exploration, started again if its files exist."""

    def __init__(self, folder: Path, settings: RunConfig) -> None:
        self.files = ExplorationFiles(folder / "explore")
        expert = Rows(folder / "expert.jsonl", Trajectory)
        base = InitialCheckpoint(demonstrations=expert, folder=folder / "base")
        with RunContext(settings, Registry()) as context:
            Collect(tasks=settings.collect.tasks, demonstrations=expert).run(context)
            base.run(context)
            phase = Explore(variant=settings, demonstrations=expert, weights=base, files=self.files)
            phase.run(context)
            self.planned = phase.planned(context)
        self.simulations = self.files.simulations.read()
        self.attributions = self.files.attributions.read_if_there()
        self.solved = {row.task.id for row in expert.read() if row.reward >= 1.0}


@pytest.mark.parametrize("budget", [1, 2, 3.5, 6])
def test_no_more_is_played_than_the_budget_allows(tmp_path: Path, budget: float) -> None:
    found = Explored(tmp_path, config({"budget": {"simulations": budget}}))
    assert len(found.simulations) <= budget * TASKS
    assert found.planned.episodes == int(budget * TASKS)
    assert found.planned.at_most
    per_task = Counter(row.task.id for row in found.simulations if row.origin is None)
    assert min(per_task.values()) >= min(2, int(budget))
    assert len(per_task) == TASKS


def test_without_first_episodes_the_budget_goes_where_something_can_be_learned(tmp_path: Path) -> None:
    found = Explored(tmp_path, config({"budget": {"simulations": 2}}, explore={"simulations": 0}))
    assert found.attributions
    assert 0 < len(found.simulations) <= 2 * TASKS


def test_a_budget_of_steps_ends_the_exploration_as_well(tmp_path: Path) -> None:
    found = Explored(tmp_path, config({"budget": {"simulations": None, "steps": 12.0}}))
    own = sum(len(row.steps) - row.prefix_length for row in found.simulations)
    assert 0.6 * 12 * TASKS < own < 1.4 * 12 * TASKS
    assert found.planned.episodes is None


@pytest.mark.parametrize("tokens", [100, 800])
def test_a_budget_of_tokens_is_kept_from_the_first_episodes_on(tmp_path: Path, tokens: int) -> None:
    schedule = {"budget": {"simulations": None, "tokens": tokens}}
    found = Explored(tmp_path, config(schedule, explore={"simulations": 8}))
    spent = [sum(step.response.computed_tokens for step in row.steps if step.response) for row in found.simulations]
    assert sum(spent) <= 1.2 * tokens * TASKS
    assert sum(spent) >= 0.6 * tokens * TASKS


def test_recorded_episodes_that_an_attributor_reads_were_played_before(tmp_path: Path) -> None:
    attributor = BisectAttributor(simulations=2, prior="anchor")
    schedule = {"budget": {"simulations": None, "tokens": 800}}
    settings = config(schedule, iterations=1, attributor=attributor, explore={"simulations": 10})
    run(settings, load_plugins(), tmp_path / "run")
    manifest = RunDirectory(tmp_path / "run").layout.stage(StageKey("explore", "eef", 1)).manifest
    assert manifest is not None
    info: Any = manifest.info["exploration"]
    assert info["spent"]["simulations"] == manifest.cost.simulations


def test_failed_demonstrations_of_tasks_that_nobody_solved_are_attributed(tmp_path: Path) -> None:
    found = Explored(tmp_path, config())
    assert found.attributions
    first = [row for row in found.simulations if row.origin is None and row.id.rsplit("/", 1)[1] in "01"]
    solved_at_first = {row.task.id for row in first if row.reward >= 1.0}
    for attribution in found.attributions:
        task = attribution.trajectory.split("/")[-1]
        assert task not in solved_at_first
        assert task not in found.solved
    attributed = {attribution.trajectory for attribution in found.attributions}
    assert {row.origin.trajectory for row in found.simulations if row.origin} <= attributed


def test_without_attribution_all_episodes_start_at_initial_states_and_some_tasks_get_more(tmp_path: Path) -> None:
    found = Explored(tmp_path, config(explore={"attribute": "none"}))
    assert all(row.origin is None for row in found.simulations)
    assert not found.attributions
    per_task = Counter(row.task.id for row in found.simulations)
    assert len(set(per_task.values())) > 1


def untimed(rows: Iterable[Trajectory]) -> list[Trajectory]:
    return [row.changed(seconds=0.0) for row in rows]


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_exploration_ends_with_the_same_result(tmp_path: Path, seed: int) -> None:
    whole = Explored(tmp_path / "whole", config())
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    path = tmp_path / "killed/explore/simulations.jsonl"
    (tmp_path / "killed/explore/attributions.jsonl").unlink()
    # Episodes end in any order, and a kill may leave any of those that were under way.
    draw = random.Random(seed)
    lines = path.read_bytes().splitlines(keepends=True)
    draw.shuffle(lines)
    kept = lines[: draw.randrange(len(lines))]
    path.write_bytes(b"".join(kept) + (lines[-1][:20] if seed % 2 else b""))
    again = Explored(tmp_path / "killed", config())
    assert [row.changed(seconds=0) for row in again.simulations] == [
        row.changed(seconds=0) for row in whole.simulations
    ]
    assert again.attributions == whole.attributions


class Bisecting(Attributor):
    """Doesn't know beforehand how many simulations it takes."""

    name: ClassVar[str] = "bisecting"

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment]:
        """Look for the flip between the ends."""
        low, high = 0, len(trajectory.steps) - 1
        while high - low > 1:
            middle = (low + high) // 2
            solved = any(map(simulate.succeeded, await simulate(middle, 2)))
            low, high = (low, middle) if solved else (middle, high)
        return [Segment(start=low, end=high, verdict=Verdict.NEUTRAL)] if high > low else []


def test_a_strategy_without_a_plan_stays_within_its_share_approximately(tmp_path: Path) -> None:
    found = Explored(tmp_path, config({"budget": {"simulations": 4}}, attributor=Bisecting()))
    assert found.attributions
    assert len(found.simulations) <= 4 * TASKS + 8


@pytest.mark.parametrize(("skill", "attributed"), [(0.0, True), (1.0, False)])
def test_an_expert_that_never_or_always_succeeds_leaves_an_exploration_that_ends(
    tmp_path: Path, skill: float, attributed: bool
) -> None:
    found = Explored(tmp_path, config({"budget": {"simulations": None}}, expert=CorridorExpert(skill=skill)))
    assert bool(found.attributions) == attributed
    assert max(Counter(row.id.rpartition("/")[0] for row in found.simulations).values()) <= 8  # the tries of a state


def test_demonstrations_of_one_action_are_explored_from_their_start(tmp_path: Path) -> None:
    with pytest.warns(EefWarning) as told:  # there is no state to probe
        found = Explored(tmp_path, config(limits={"steps": 1}, attributor=IntervalAttributor(probes=3)))
    assert [getattr(each.message, "code", "") for each in told] == ["verdicts-unknown"]
    assert found.simulations
    assert all(len(row.steps) <= 1 for row in found.simulations)


def test_lost_episodes_neither_loop_nor_count_as_failures(tmp_path: Path) -> None:
    broken = Corridor(fault="raise", fault_step=6)  # long episodes are lost
    with pytest.raises(Exception) as refused:  # noqa: PT011 - more than a fifth is lost
        Explored(tmp_path, config(environment=broken, expert=CorridorExpert(skill=1.0)))
    assert refused.value.code == "episodes-lost"  # type: ignore[attr-defined]


def test_a_matched_baseline_spends_what_the_main_method_spent_and_both_count_their_tasks(tmp_path: Path) -> None:
    settings = config(method="eef-adaptive", iterations=1, baselines=["rft-adaptive"])
    log = io.StringIO()
    run(settings, load_plugins(), tmp_path / "run", Console(file=log, width=200))
    layout = RunDirectory(tmp_path / "run").layout
    spent = {}
    for method in ("eef-adaptive", "rft-adaptive"):
        manifest = layout.stage(StageKey("explore", method, 1)).manifest
        assert manifest is not None
        info: Any = manifest.info["exploration"]
        assert sum(info["tasks"].values()) == TASKS
        assert sum(each["simulations"] for each in info["rounds"]) == info["spent"]["simulations"]
        assert info["spent"]["simulations"] == manifest.cost.simulations
        spent[method] = played = manifest.cost.simulations
        (ended,) = (line for line in log.getvalue().splitlines() if f"{method}/1: explore: {played}/{played}, " in line)
        assert "done in" in ended
    assert 0.5 * spent["eef-adaptive"] <= spent["rft-adaptive"] <= spent["eef-adaptive"]
    own = Rows(layout.trajectories(StageKey("explore", "rft-adaptive", 1)), Trajectory).read()
    assert all(row.origin is None for row in own)
