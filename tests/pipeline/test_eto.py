"""The recipes eto and ipr, with a real, if tiny, language model: as a method, as a baseline, and phase by phase."""

import json
from pathlib import Path
from typing import Any

import pytest

from eef_framework.config.loading import load_config
from eef_framework.config.schema import RunConfig
from eef_framework.errors import ConfigError
from eef_framework.pipeline import RunContext, run, variants
from eef_framework.pipeline.phases import Collect, ExplorationFiles, Explore, InitialCheckpoint, Select, Train
from eef_framework.pipeline.plan import plan
from eef_framework.pipeline.rows import Rows
from eef_framework.plugins import Registry, load_plugins
from eef_framework.records import Example, Selected, Trajectory
from eef_framework.runs import read_rows

SMALL = """\
extends: {method}
environment: corridor
expert: {{name: corridor-expert, skill: 0.7}}
policy: {{name: transformers, tiny: {{hidden: 32, layers: 2, heads: 2, feed_forward: 64}}}}
format: {{style: action, instructions: false}}
iterations: 1
collect: {{tasks: {{split: train, count: 12}}}}
clone: {{trainer: {{name: sft, steps: 20, batch_size: 8, learning_rate: 0.003, trackers: []}}}}
explore: {{sampling: {{temperature: 1.0, max_tokens: 12, constrain: true}}}}
evaluate: {{tasks: {{split: test, count: 4}}, sampling: {{temperature: 0.0, max_tokens: 12, constrain: true}}}}
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins(["builtin", "eef_framework.testing.plugin", "eef_attribution.plugin"], {})


def small(folder: Path, registry: Registry, method: str = "eto", **more: Any) -> RunConfig:
    (folder / "small.yaml").write_text(SMALL.format(method=method))
    settings = [f"{key}={value}" for key, value in more.items()]
    return load_config(folder / "small.yaml", settings, {}, registry)


def test_the_recipe_is_the_published_method(tmp_path: Path, registry: Registry) -> None:
    config = small(tmp_path, registry)
    assert (config.attributor, config.explore.attribute, config.explore.simulations) == (None, "none", 1)
    assert (config.select.pairs, config.select.keep, config.tune.start) == (True, "latest", "previous")
    assert config.tune.trainer is not None
    assert (
        config.tune.trainer | {"epochs": 3, "batch_size": 32, "learning_rate": 1e-6, "beta": 0.1} == config.tune.trainer
    )


def test_as_a_baseline_it_brings_its_trainer_and_shares_the_clone(tmp_path: Path, registry: Registry) -> None:
    main, baseline = variants(small(tmp_path, registry, "eef", baselines="[eto]"), registry)
    assert (main.select.pairs, baseline.select.pairs) == (False, True)
    assert (main.tune.trainer, baseline.tune.start) == (None, "previous")
    assert (baseline.tune.trainer or {})["name"] == "dpo"
    assert baseline.clone == main.clone
    assert baseline.explore.sampling == main.explore.sampling


def test_other_methods_beside_it_need_a_trainer_of_their_own(tmp_path: Path, registry: Registry) -> None:
    config = small(tmp_path, registry, "eto", baselines="[rft]")
    assert [each.select.pairs for each in variants(config, registry)] == [True, False]
    with pytest.raises(ConfigError) as refused:
        plan(config, registry, tmp_path / "run")
    assert refused.value.code == "no-pairs"


@pytest.mark.slow
def test_a_run_learns_from_pairs_and_can_be_taken_up(tmp_path: Path, registry: Registry) -> None:
    config = small(tmp_path, registry, "rft", baselines="[eto]")
    metrics = run(config, registry, tmp_path / "run")
    assert [row.label for row in metrics.rows] == ["expert", "sft", "rft 1", "eto 1"]
    place = tmp_path / "run/methods/eto/1"
    played = {t.id: t for t in read_rows(place / "explore/simulations.jsonl", Trajectory)}
    played |= {t.id: t for t in read_rows(tmp_path / "run/collect/trajectories.jsonl", Trajectory)}
    examples = list(read_rows(place / "select/examples.jsonl", Example))
    assert examples
    for example in examples:
        better, worse = played[example.trajectory], played[str(example.info["rejected"])]
        assert better.reward > worse.reward
        assert better.task == worse.task
    selected = {row.trajectory: row for row in read_rows(place / "select/selected.jsonl", Selected)}
    assert selected.keys() == played.keys()
    learned = {name: row.source for name, row in selected.items() if row.outcome == "learned"}
    assert learned == {str(each.info["rejected"]): "rejected" for each in examples} | {
        each.trajectory: "pair" for each in examples
    }
    assert not (tmp_path / "run/methods/eto/clone").exists()
    (first,) = (json.loads(row) for row in (place / "tune/checkpoint/training.jsonl").read_text().splitlines()[:1])
    assert first["loss"] == pytest.approx(0.6931, abs=1e-4)
    assert "ETO" in (tmp_path / "run/report.html").read_text()
    (tmp_path / "run/metrics.json").unlink()
    assert run(config, registry, tmp_path / "run").rows == metrics.rows


@pytest.mark.slow
def test_ipr_learns_from_pairs_of_actions_as_well(tmp_path: Path, registry: Registry) -> None:
    config = small(tmp_path, registry, "ipr", **{"attributor.simulations": 2})
    metrics = run(config, registry, tmp_path / "run")
    assert [row.label for row in metrics.rows] == ["expert", "sft", "ipr 1"]
    place = tmp_path / "run/methods/ipr/1"
    examples = list(read_rows(place / "select/examples.jsonl", Example))
    assert any("#pair#" in example.id for example in examples)
    of_actions = [example for example in examples if "#pair@" in example.id]
    assert of_actions
    for example in of_actions:
        start = example.states[0]
        sides = [[m for m in side if m.role == "assistant"] for side in (example.messages, example.rejected)]
        assert [m.content for m in sides[0][:start]] == [m.content for m in sides[1][:start]]
        assert all(side[start].weight == 1 and not any(m.weight for m in side[:start]) for side in sides)
        assert sides[0][start].content != sides[1][start].content
    (first,) = (json.loads(row) for row in (place / "tune/checkpoint/training.jsonl").read_text().splitlines()[:1])
    assert first["loss"] > 0.6931  # with the likelihood of the preferred sides


@pytest.mark.slow
def test_pairs_can_be_chosen_and_learned_phase_by_phase(tmp_path: Path, registry: Registry) -> None:
    config = small(tmp_path, registry)
    expert, chosen = Rows(tmp_path / "expert.jsonl", Trajectory), Rows(tmp_path / "pairs.jsonl", Example)
    explored = ExplorationFiles(tmp_path / "explored")
    base = InitialCheckpoint(demonstrations=expert, folder=tmp_path / "base")
    assert config.tune.trainer is not None
    tune = Train(trainer=config.tune.trainer, examples=chosen, start=base, folder=tmp_path / "tuned")
    with RunContext(config, registry) as context:
        for phase in (
            Collect(tasks=config.collect.tasks, demonstrations=expert),
            base,
            Explore(variant=config, demonstrations=expert, weights=base, files=explored),
            Select(variant=config, demonstrations=expert, explorations=[explored], examples=chosen),
            tune,
        ):
            phase.run(context)
    assert chosen.read()
    assert all(example.rejected for example in chosen.read())
    assert (tune.checkpoint.path / "model.safetensors").exists()
    assert tune.result.trained_tokens > 0
