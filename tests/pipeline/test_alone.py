from pathlib import Path
from typing import Any

import pytest
from eef_attribution.interval import IntervalAttributor

from eef_framework.config.schema import RunConfig
from eef_framework.errors import ConfigError
from eef_framework.pipeline.alone import Alone
from eef_framework.plugins import Registry
from eef_framework.records import Attribution, Example, Trajectory
from eef_framework.runs import read_rows
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.memory import MemoryPolicy, MemoryTrainer
from eef_framework.testing.wanderer import Wanderer


def alone(**changes: Any) -> Alone:
    settings: dict[str, Any] = {
        "environment": Corridor(),
        "expert": Wanderer(skill=0.4),
        "policy": MemoryPolicy(),
        "format": {"history": 1},
        "collect": {"tasks": {"split": "train", "count": 20}},
        "clone": {"trainer": MemoryTrainer()},
        "attributor": IntervalAttributor(probes=3),
        "evaluate": {"tasks": {"split": "test", "count": 12}},
    }
    return Alone(RunConfig(**settings | changes), Registry())


def test_the_phases_make_up_the_method_one_by_one_through_files(tmp_path: Path) -> None:
    with alone() as phase:
        demonstrations = phase.collect(tmp_path / "expert.jsonl")
        base = phase.base(tmp_path / "expert.jsonl", tmp_path / "base")
        cloning = phase.select(tmp_path / "expert.jsonl", [], tmp_path / "clone.jsonl")
        clone, _ = phase.train(tmp_path / "clone.jsonl", base.path, tmp_path / "clone")
        simulations, attributions = phase.explore(tmp_path / "expert.jsonl", clone.path, tmp_path / "explore")
        chosen = phase.select(tmp_path / "expert.jsonl", [tmp_path / "explore"], tmp_path / "eef.jsonl")
        tuned, cost = phase.train(tmp_path / "eef.jsonl", clone.path, tmp_path / "eef")
        evaluation = phase.evaluate(tuned.path, tmp_path / "evaluation.jsonl")
    assert {e.source for e in cloning} == {"expert"}
    assert {e.source for e in chosen} > {"expert", "agent"}
    assert len(simulations) > len(demonstrations) == 20
    assert len(attributions) == 20
    assert cost.trained_tokens > 0
    assert (evaluation.episodes, evaluation.errors) == (12, 0)
    assert list(read_rows(tmp_path / "eef.jsonl", Example)) == chosen
    assert len(list(read_rows(tmp_path / "evaluation.jsonl", Trajectory))) == 12


def test_attributing_recorded_simulations_again_gives_the_same_verdicts(tmp_path: Path) -> None:
    with alone() as phase:
        phase.collect(tmp_path / "expert.jsonl")
        base = phase.base(tmp_path / "expert.jsonl", tmp_path / "base")
        _, attributions = phase.explore(tmp_path / "expert.jsonl", base.path, tmp_path / "explore")
        again = phase.attribute(
            tmp_path / "expert.jsonl", tmp_path / "explore/simulations.jsonl", tmp_path / "again.jsonl"
        )
    assert again == attributions == list(read_rows(tmp_path / "again.jsonl", Attribution))


def test_attributing_with_more_probes_than_were_simulated_says_so(tmp_path: Path) -> None:
    with alone() as phase:
        phase.collect(tmp_path / "expert.jsonl")
        base = phase.base(tmp_path / "expert.jsonl", tmp_path / "base")
        phase.explore(tmp_path / "expert.jsonl", base.path, tmp_path / "explore")
    with alone(attributor=IntervalAttributor(probes=3, simulations=2)) as phase:
        found = phase.attribute(tmp_path / "expert.jsonl", tmp_path / "explore/simulations.jsonl", tmp_path / "a.jsonl")
    assert all("1 were recorded" in attribution.error for attribution in found)


def test_attributing_without_an_attributor_says_how_to_name_one(tmp_path: Path) -> None:
    with alone(attributor=None) as phase:
        phase.collect(tmp_path / "expert.jsonl")
        with pytest.raises(ConfigError, match="no attributor"):
            phase.attribute(tmp_path / "expert.jsonl", tmp_path / "expert.jsonl", tmp_path / "a.jsonl")
