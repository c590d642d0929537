"""Every strategy in a whole run in the corridor, beside a baseline that gets as many simulations."""

from collections import Counter

import pytest
from eef_attribution.interval import IntervalAttributor
from eef_attribution.plugin import STRATEGIES

from eef_framework import load_config, run
from eef_framework.pipeline.plan import plan
from eef_framework.plugins import load_plugins
from eef_framework.runs import StageKey
from eef_framework.testing.small_run import small_settings

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gave no verdict"),  # some have none on so few episodes, or by design
    pytest.mark.filterwarnings("ignore:.*plays no simulations"),  # those that cost none
]

SETTINGS = small_settings(
    test=4,
    expert={"name": "corridor-expert", "skill": 0.5},
    explore={"simulations": 2},
    baselines=["rft-matched"],
)


@pytest.fixture(scope="module")
def registry():
    return load_plugins(["eef_framework.testing.plugin", "attribution"], {})


def settings_of(strategy, judge):
    settings = {"name": strategy.name}
    return settings | ({"judge": judge} if strategy.name in ("judge", "first-error") else {})


@pytest.mark.parametrize(
    "strategy",
    [
        {"name": "bisect", "simulations": 3},
        {"name": "sequential", "budget": 7},
        {"name": "montecarlo", "simulations": 2},
        {"name": "interval", "prior": "anchor"},
        {"name": "propose-verify", "proposer": "random"},
        {"name": "first-error", "simulations": 3},
        {"name": "substitute", "simulations": 2},
    ],
    ids=lambda strategy: strategy["name"],
)
def test_a_plan_has_an_upper_bound_of_simulations(registry, judge, answers, tmp_path, strategy):
    answers("First mistake: 2")
    own = {"judge": judge} if strategy["name"] == "first-error" else {}
    settings = SETTINGS | {"attributor": strategy | own, "baselines": []}
    done = run(settings, registry, tmp_path / "run")
    spent = len(list(done.trajectories("explore")))
    assert spent > 2 * 8
    collect = {"trajectories": str(done.layout.trajectories(StageKey("collect")))}
    collect |= settings["collect"]
    known, unknown = (
        dict(plan(load_config(given, (), {}, registry), registry, tmp_path / "other").phases)["eef/1: explore"]
        for given in (settings | {"collect": collect}, settings)
    )
    assert (known.at_most, unknown.at_most) == (True, True)
    assert spent <= known.episodes <= unknown.episodes


@pytest.mark.parametrize(
    "wrap",
    [
        lambda judge: {"name": "judge", "judge": judge},
        lambda judge: {"name": "first-error", "judge": judge},
        lambda judge: {"name": "propose-verify", "proposer": {"name": "judge", "judge": judge}},
        lambda judge: {"name": "sequential", "strategy": {"name": "first-error", "judge": judge}},
    ],
    ids=["judge", "first-error", "propose-verify", "sequential"],
)
def test_a_plan_estimates_the_questions_to_a_judge_from_above(registry, judge, answers, tmp_path, wrap):
    asked = answers("1: good\nFirst mistake: 2")
    settings = SETTINGS | {"attributor": wrap(dict(judge)), "baselines": []}
    done = run(settings, registry, tmp_path / "run")
    collect = {"trajectories": str(done.layout.trajectories(StageKey("collect")))} | settings["collect"]
    known, unknown = (
        plan(load_config(given, (), {}, registry), registry, tmp_path / "other").costs["eef/1: explore"]
        for given in (settings | {"collect": collect}, settings)
    )
    assert 0 < sum(map(len, asked)) / 4 < known.prompt_tokens <= unknown.prompt_tokens
    assert known.computed_tokens - known.prompt_tokens == 8 * 1024 >= len(asked) * 1024


def test_a_plan_without_a_judge_has_no_estimate_of_one(registry, judge, tmp_path):
    for strategy in ("interval", {"name": "substitute", "judge": dict(judge)}):
        config = load_config(SETTINGS | {"attributor": strategy, "baselines": []}, (), {}, registry)
        assert not plan(config, registry, tmp_path).costs


def test_a_plan_without_a_bound_is_unknown(registry, tmp_path):
    class Unbounded(IntervalAttributor):
        def planned_simulations(self, length):
            return None

        def most_simulations(self, length):
            return None

    config = load_config(SETTINGS | {"attributor": Unbounded(), "baselines": []}, (), {}, registry)
    assert dict(plan(config, registry, tmp_path).phases)["eef/1: explore"].episodes is None


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_a_run_with_any_strategy_finishes_and_its_baseline_gets_what_was_spent(
    registry, judge, answers, tmp_path, strategy
):
    answers("1-2: good\n3: mistake\nFirst mistake: 2")
    done = run(SETTINGS | {"attributor": settings_of(strategy, judge)}, registry, tmp_path)
    assert done.finished
    attributions = done.attributions("eef")
    assert len(attributions) == 8
    assert [each.error for each in attributions] == [""] * 8
    spent = [Counter(row.task.id for row in done.trajectories("explore", method)) for method in ("eef", "rft-matched")]
    assert spent[0] == spent[1]
    again = run(SETTINGS | {"attributor": settings_of(strategy, judge)}, registry, tmp_path)
    assert again.attributions("eef") == attributions


def test_a_run_with_simulations_one_by_one_explores_the_same_again(registry, tmp_path):
    settings = SETTINGS | {"attributor": {"name": "sequential", "budget": 12}, "baselines": []}
    first, second = (run(settings, registry, tmp_path / name) for name in ("a", "b"))
    assert first.attributions("eef") == second.attributions("eef")
    assert {row.id for row in first.trajectories("explore")} == {row.id for row in second.trajectories("explore")}
    for attribution in first.attributions("eef"):
        assert sum(len(probe.simulations) for probe in attribution.probes) <= 12


@pytest.mark.parametrize("text", ["1: good", None], ids=["answered", "lost"])
def test_answers_of_a_judge_are_in_the_costs(registry, judge, answers, tmp_path, text):
    questions = answers(lambda question: text)
    settings = SETTINGS | {"attributor": {"name": "judge", "judge": judge}, "baselines": []}
    done = run(settings, registry, tmp_path)
    tokens = 11 if text else 5
    assert sum(each.cost.computed_tokens for each in done.attributions("eef")) == tokens * len(questions) > 0
    played = sum(spent.tokens for spent in done.spending("eef").values())
    assert done.metrics.stages["methods/eef/1/explore"].computed_tokens == played + tokens * len(questions)


def test_scores_are_in_the_costs(registry, tmp_path):
    settings = SETTINGS | {"attributor": {"name": "likelihood"}, "baselines": []}
    done = run(settings, registry, tmp_path)
    scored = sum(each.cost.computed_tokens for each in done.attributions("eef"))
    evidence = sum(each.evidence.tokens for row in done.attributions("eef") for each in row.segments if each.evidence)
    assert scored == evidence
    played = sum(spent.tokens for spent in done.spending("eef").values())
    assert done.metrics.stages["methods/eef/1/explore"].computed_tokens == played + scored
