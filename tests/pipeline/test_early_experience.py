"""The recipe early-experience: predict what follows the agent's and the expert's actions, then imitate the expert."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eef_framework.chat.format import PREDICT, ChatFormat
from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.cli.main import app
from eef_framework.config.loading import load_config
from eef_framework.config.schema import RunConfig
from eef_framework.errors import ConfigError, NothingToTrain, RunConflict
from eef_framework.pipeline import run, variants
from eef_framework.pipeline.phase import Planned
from eef_framework.pipeline.plan import plan
from eef_framework.plugins import Registry, load_plugins
from eef_framework.policies.loading import load_tokenizer
from eef_framework.records import Checkpoint, Example, RunMetrics, Trajectory
from eef_framework.runs import RunLayout, StageKey, read_rows
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.small_run import small_settings
from eef_framework.training.dataset import TokenizedDataset

OTHERS = "[eef, eef-adaptive, rft, rft-matched, rft-adaptive, dagger]"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins(["builtin", "eef_framework.testing.plugin", "eef_attribution.plugin"], {})


def small(registry: Registry, *more: str, recipe: str = "early-experience") -> RunConfig:
    expert = {"name": "corridor-expert", "skill": 0.8}
    return load_config(small_settings(12, 4, expert=expert, extends=recipe), more, {}, registry)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> tuple[RunLayout, RunMetrics]:
    out = tmp_path_factory.mktemp("whole") / "run"
    return RunLayout(out), run(small(registry), registry, out).metrics


def folder(layout: RunLayout, phase: str) -> Path:
    return layout.path / "methods/early-experience/1" / phase


def demonstrations(layout: RunLayout) -> list[Trajectory]:
    return list(read_rows(layout.trajectories(StageKey("collect")), Trajectory))


def test_the_agent_acts_once_in_every_state_of_the_experts_successes(whole: tuple[RunLayout, RunMetrics]) -> None:
    layout, _ = whole
    tried = list(read_rows(folder(layout, "explore") / "alternatives.jsonl", Trajectory))
    expert = [each for each in demonstrations(layout) if each.reward >= 1.0]
    assert 0 < len(expert) < 12
    wanted = [(each.task.id, each.actions[:k]) for each in expert for k in range(len(each.steps)) for _ in range(6)]
    assert sorted((each.task.id, each.actions[:-1]) for each in tried) == sorted(wanted)
    for each in tried:
        assert each.prefix_length == len(each.steps) - 1
        assert each.steps[-1].response is not None
        assert each.actor == "agent/early-experience/1"
    assert (folder(layout, "explore") / "simulations.jsonl").read_text() == ""


def test_what_the_environment_answered_is_what_is_learned(whole: tuple[RunLayout, RunMetrics]) -> None:
    layout, _ = whole
    examples = list(read_rows(folder(layout, "select") / "predictions.jsonl", Example))
    known = [*demonstrations(layout), *read_rows(folder(layout, "explore") / "alternatives.jsonl", Trajectory)]
    of = {each.id: each for each in known}
    assert {example.trajectory.split("/")[0] for example in examples} == {"expert", "early-experience"}
    world, transitions = Corridor(), set()
    for example in examples:
        trajectory, state = of[example.trajectory], int(example.id.rpartition("@")[2])
        step = trajectory.steps[state]
        session = world.open(trajectory.task)
        for action in trajectory.actions[: state + 1]:
            session.step(action)
        *head, asked, answer = example.messages
        assert answer.content == session.observation.text == step.observation.text
        assert asked.content == f"{trajectory.observation(state).text}\n\n{PREDICT}\nAction: {step.action}"
        assert [message.weight for message in example.messages] == [*[0.0] * len(head), 0.0, 1.0]
        transitions.add((trajectory.task.id, trajectory.actions[: state + 1]))
    assert len(transitions) == len(examples)


def test_first_the_world_is_learned_from_the_initial_model_then_the_expert(
    whole: tuple[RunLayout, RunMetrics],
) -> None:
    layout, _ = whole
    base, predicting, tuned = (
        Checkpoint(path=path).read_json()
        for path in (
            layout.path / "base/checkpoint",
            folder(layout, "world-model") / "checkpoint",
            folder(layout, "tune") / "checkpoint",
        )
    )
    assert base == {}
    assert all(PREDICT in asked for asked in predicting)
    acting = {asked: known for asked, known in tuned.items() if PREDICT not in asked}
    assert {asked: known for asked, known in tuned.items() if PREDICT in asked} == predicting
    expert = [each for each in demonstrations(layout) if each.reward >= 1.0]
    actions: dict[str, set[str]] = {}
    for each in expert:
        for state, action in enumerate(each.actions):
            actions.setdefault(each.observation(state).text, set()).add(f"Action: {action}")
    assert {asked: set(known) for asked, known in acting.items()} == actions
    assert {example.source for example in read_rows(folder(layout, "select") / "examples.jsonl", Example)} == {"expert"}


def test_every_alternative_is_paid_for(whole: tuple[RunLayout, RunMetrics]) -> None:
    layout, metrics = whole
    tried = sum(1 for _ in read_rows(folder(layout, "explore") / "alternatives.jsonl", Trajectory))
    row = next(row for row in metrics.rows if row.method == "early-experience")
    assert (row.cost.simulations, row.cost.steps) == (tried, tried)
    trainings = [f"methods/early-experience/1/{phase}" for phase in ("world-model", "tune")]  # the clone isn't used
    assert row.cost.trained_tokens == sum(metrics.stages[name].trained_tokens for name in trainings) > 0
    counts = json.loads((folder(layout, "select") / "stage.json").read_text())["info"]["predictions"]
    steps = sum(len(each.steps) for each in demonstrations(layout) if each.reward >= 1.0)
    assert sum(counts.values()) == steps + tried
    assert counts["agent"] > steps  # the initial model doesn't repeat the expert
    assert "early-experience 1: observations" in layout.report.read_text()


def test_an_interrupted_run_tries_only_what_is_missing(
    tmp_path: Path, registry: Registry, whole: tuple[RunLayout, RunMetrics]
) -> None:
    layout, metrics = whole
    run(small(registry), registry, tmp_path / "run")
    again = RunLayout(tmp_path / "run")
    alternatives = folder(again, "explore") / "alternatives.jsonl"
    lines = alternatives.read_text().splitlines(keepends=True)
    alternatives.write_text("".join(lines[:7]) + lines[7][:40])
    for stage in (*again.path.glob("methods/*/1/*/stage.json"), again.metrics):
        stage.unlink()
    resumed = run(small(registry), registry, again.path)
    assert [row.evaluation for row in resumed.rows] == [row.evaluation for row in metrics.rows]
    assert [line.split('"seconds"')[0] for line in alternatives.read_text().splitlines()] == [
        line.rstrip("\n").split('"seconds"')[0] for line in lines
    ]
    assert alternatives.read_text().splitlines(keepends=True)[:7] == lines[:7]
    assert layout.path != again.path


def test_methods_beside_it_try_no_alternatives(registry: Registry) -> None:
    for main, others in (("early-experience", OTHERS), ("eef", "[early-experience]")):
        for each in variants(small(registry, f"baselines={others}", recipe=main), registry):
            ours = each.method == "early-experience"
            assert (each.explore.alternatives > 0, each.explore.simulations == 0) == (ours, ours)
            assert each.select.initial == (not ours and each.method != "dagger")


def test_a_baseline_that_matches_it_gets_as_many_simulations(tmp_path: Path, registry: Registry) -> None:
    config = small(registry, "baselines=[rft-matched]", "explore.alternatives=1")
    run(config, registry, tmp_path / "run")
    tried = read_rows(tmp_path / "run/methods/early-experience/1/explore/alternatives.jsonl", Trajectory)
    matched = read_rows(tmp_path / "run/methods/rft-matched/1/explore/simulations.jsonl", Trajectory)
    by_task: dict[str, int] = {}
    for each in tried:
        by_task[each.task.id] = by_task.get(each.task.id, 0) + 1
    found: dict[str, int] = {}
    for each in matched:
        found[each.task.id] = found.get(each.task.id, 0) + 1
    assert {task: found[task] for task in by_task} == by_task


def test_the_plan_counts_alternatives_exactly_if_the_demonstrations_are_known(
    tmp_path: Path, registry: Registry, whole: tuple[RunLayout, RunMetrics]
) -> None:
    layout, _ = whole
    known = small(registry, f"collect.trajectories={layout.trajectories(StageKey('collect'))}")
    planned = dict(plan(known, registry, tmp_path / "run").phases)["early-experience/1: explore"]
    tried = sum(1 for _ in read_rows(folder(layout, "explore") / "alternatives.jsonl", Trajectory))
    assert planned == Planned(tried, single=tried)
    unknown = dict(plan(small(registry), registry, tmp_path / "run").phases)["early-experience/1: explore"]
    assert unknown.at_most
    assert unknown.single == unknown.episodes
    assert unknown.episodes is not None
    assert unknown.episodes >= tried


def test_an_expert_without_a_success_is_an_error_that_says_so(tmp_path: Path, registry: Registry) -> None:
    hopeless = ("success.threshold=2", "iterations=1")
    with pytest.raises(NothingToTrain) as caught:
        run(small(registry, *hopeless), registry, tmp_path / "cloned")
    assert caught.value.code == "no-expert-success"
    with pytest.raises(NothingToTrain) as caught:
        run(small(registry, *hopeless, "clone.on=none"), registry, tmp_path / "not-cloned")
    assert caught.value.code == "nothing-solved"


def test_an_environment_that_shows_nothing_after_actions_is_an_error_that_says_so(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChatFormat, "prediction", lambda self, trajectory, state, instructions: None)  # all blank
    with pytest.raises(NothingToTrain) as caught:
        run(small(registry), registry, tmp_path / "run")
    assert caught.value.code == "no-predictions"
    assert caught.value.details["blank"] > 0


@pytest.mark.parametrize("start", ["base", "clone"])
def test_the_model_that_learns_tries_the_alternatives(tmp_path: Path, registry: Registry, start: str) -> None:
    config = small(registry, f"tune.start={start}", "policy.epsilon=0.05")
    metrics = run(config, registry, tmp_path / "run").metrics
    layout = RunLayout(tmp_path / "run")
    tried = list(read_rows(folder(layout, "explore") / "alternatives.jsonl", Trajectory))
    expert = [each for each in demonstrations(layout) if each.reward >= 1.0]
    taken = {(each.task.id, each.actions[: k + 1]) for each in expert for k in range(len(each.steps))}
    repeated = sum((each.task.id, each.actions) in taken for each in tried)
    assert repeated > 0.8 * len(tried) if start == "clone" else repeated < 0.7 * len(tried)
    cloned = metrics.stages["clone"].trained_tokens
    own = sum(metrics.stages[f"methods/early-experience/1/{name}"].trained_tokens for name in ("world-model", "tune"))
    assert metrics.rows[-1].cost.trained_tokens == own + (cloned if start == "clone" else 0)


def test_without_a_clone_nothing_else_changes(tmp_path: Path, registry: Registry) -> None:
    metrics = run(small(registry, "clone.on=none", "explore.alternatives=2"), registry, tmp_path / "run")
    assert [row.label for row in metrics.rows] == ["expert", "untrained", "early-experience 1"]
    assert metrics.rows[-1].cost.trained_tokens > 0


def test_nothing_to_explore_is_an_error(tmp_path: Path, registry: Registry) -> None:
    for recipe in ("rft", "early-experience"):
        config = small(registry, "explore.simulations=0", "explore.alternatives=0", recipe=recipe)
        with pytest.raises(ConfigError) as caught:
            plan(config, registry, tmp_path / "run")
        assert (caught.value.code, caught.value.details) == ("nothing-to-explore", {"method": recipe})


def test_a_trainer_of_pairs_can_not_learn_observations(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(small(registry, "tune.world_model=dpo"), registry, tmp_path / "run")
    assert caught.value.code == "no-pairs"


def test_the_world_model_has_a_trainer_of_its_own_if_wanted(registry: Registry) -> None:
    config = small(registry, "tune.trainer.decay=0.5", "tune.world_model.decay=0.25")
    assert config.tune.world_model_trainer(config.clone) == {"name": "lookup", "decay": 0.25}
    plain = small(registry, "tune.trainer.decay=0.5")
    assert plain.tune.world_model_trainer(plain.clone) == {"name": "lookup", "decay": 0.5}
    assert small(registry).tune.world_model_trainer(config.clone) == {"name": "lookup"}


def test_each_phase_works_on_files(tmp_path: Path, whole: tuple[RunLayout, RunMetrics]) -> None:
    layout, _ = whole
    expert = layout.trajectories(StageKey("collect"))
    settings = (str(layout.config), "--plugins", "builtin,eef_framework.testing.plugin")

    def eef(command: str, *arguments: object) -> str:
        given = [command, *settings, *map(str, arguments)]
        result = CliRunner().invoke(app, given, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    model, explored, examples = layout.path / "base/checkpoint", tmp_path / "explored", tmp_path / "examples.jsonl"
    eef("explore", "--demonstrations", expert, "--model", model, "--out", explored)
    assert sorted(path.name for path in explored.glob("*.jsonl")) == ["alternatives.jsonl", "simulations.jsonl"]
    before = (explored / "alternatives.jsonl").read_bytes()
    other = ("explore", *settings, "--model", str(layout.path / "clone/checkpoint"))
    refused = CliRunner().invoke(app, [*other, "--demonstrations", str(expert), "--out", str(explored)])
    assert isinstance(refused.exception, RunConflict)
    assert refused.exception.code == "other-settings"
    assert (explored / "alternatives.jsonl").read_bytes() == before
    eef("select", "--demonstrations", expert, "--explored", explored, "--out", examples)
    observations = tmp_path / "examples.predictions.jsonl"
    in_run = read_rows(folder(layout, "select") / "predictions.jsonl", Example)
    assert [row.messages for row in read_rows(observations, Example)] == [row.messages for row in in_run]
    eef("train", "--examples", observations, "--model", layout.path / "base/checkpoint", "--out", tmp_path / "world")
    eef("train", "--examples", examples, "--model", tmp_path / "world", "--out", tmp_path / "tuned")
    assert any(PREDICT in asked for asked in Checkpoint(path=tmp_path / "tuned").read_json())


def trained(tokens: ChatTokenizer, example: Example) -> list[int]:
    (found,) = TokenizedDataset.from_examples([example], tokens, 100_000).examples
    return [found.token_ids[place] for place in found.target_positions]


@pytest.mark.slow
def test_a_language_model_trains_on_nothing_but_observations_then_on_the_experts_actions(
    tmp_path: Path, one_thread: None
) -> None:
    registry = load_plugins()
    sizes = ("collect.tasks.count=16", "evaluate.tasks.count=8", "clone.trainer.steps=10", "tune.trainer.steps=5")
    settings = [*sizes, "iterations=1", "attributor.probes=1", "baselines=[early-experience]"]
    metrics = run(load_config("demo", settings, {}, registry), registry, tmp_path / "run").metrics
    row = next(row for row in metrics.rows if row.method == "early-experience")
    assert row.evaluation.episodes == 8
    layout = RunLayout(tmp_path / "run")
    chat = ChatTokenizer(load_tokenizer(folder(layout, "tune") / "checkpoint", False))
    of = {each.id: each for each in demonstrations(layout)}
    of |= {row.id: row for row in read_rows(folder(layout, "explore") / "alternatives.jsonl", Trajectory)}
    predictions = list(read_rows(folder(layout, "select") / "predictions.jsonl", Example))
    assert any(example.trajectory.startswith("early-experience/") for example in predictions)
    for example in predictions:
        step = of[example.trajectory].steps[int(example.id.rpartition("@")[2])]
        assert trained(chat, example) == [*chat.answer_ids(step.observation.text), *chat.stop_ids]
    for example in read_rows(folder(layout, "select") / "examples.jsonl", Example):
        (state,) = example.states
        assert trained(chat, example) == [*chat.answer_ids(of[example.trajectory].actions[state]), *chat.stop_ids]
    for phase, sizes_ in (("world-model", len(predictions)), ("tune", None)):
        counted = json.loads((folder(layout, phase) / "checkpoint/preparation.json").read_text())
        assert sizes_ in (None, counted["examples"])
        assert counted["over_long"] == counted["without_loss"] == []
