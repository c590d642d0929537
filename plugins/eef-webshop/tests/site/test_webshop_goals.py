from __future__ import annotations

import itertools
import json
import random

import pytest
from eef_webshop.site.goals import NO_LIMIT

from eef_framework.errors import ConfigError, EnvironmentFailure

ASINS = ["B000000001", "B000000002", "B000000003", *(f"B1{number:08}" for number in range(20))]


def expected_synthetic(seed: int) -> list[tuple[str, float, dict[str, str], str]]:
    """The goals of the test products, written down from the reference's rules once more."""
    draw = random.Random(seed)
    draw.uniform(10.0, 30.0)  # the price of the one product with a range
    limits = draw.sample([20.0, 30.0, 40.0, 50.0], 2)
    colors, sizes = [f"shade {n}" for n in range(39)] + ["light blue"], [f"{n} inch" for n in range(40)]
    goals = []
    for color, size in itertools.product(colors, sizes):
        text = f"Find me easy clean bed pillows with color: {color}, and size: {size}, and price lower than "
        goals.append(("B000000001", max(limits), {"color": color, "size": size}, f"{text}{max(limits):.2f} dollars"))
    # 995 dollars leave no two limits to draw from.
    goals.append(("B100000007", NO_LIMIT, {}, "Find me plain bed pillows"))
    random.Random(233).shuffle(goals)
    return goals


@pytest.mark.parametrize("seed", [0, 5])
def test_synthetic_goals_are_all_combinations_in_the_order_of_seed_233(webshop, seed):
    all_goals = webshop(price_seed=seed).all_goals
    goals = [all_goals.goal(index) for index in range(len(all_goals))]
    assert [(g.asin, g.price_upper, g.options, g.instruction) for g in goals] == expected_synthetic(seed)


def test_prices_of_a_range_and_limits_are_drawn_by_the_seed(webshop):
    prices = {seed: webshop(price_seed=seed).all_goals for seed in range(8)}
    drawn = set()
    for seed, all_goals in prices.items():
        catalogue = webshop().catalogue
        assert all_goals.price(0, catalogue.product(0)) == 12.5
        assert all_goals.price(2, catalogue.product(2)) == 100.0
        assert all_goals.price(1, catalogue.product(1)) == random.Random(seed).uniform(10.0, 30.0)
        drawn.add(all_goals.goal(0).price_upper)
    assert len(drawn) > 1


def test_human_goals_skip_instructions_without_attributes(webshop):
    all_goals = webshop(goals="human").all_goals
    goals = [all_goals.goal(index) for index in range(len(all_goals))]
    assert sorted((g.asin, g.instruction.split(", and price")[0], g.options) for g in goals) == [
        ("B000000002", "any pillow", ()),
        ("B000000002", "i want a pillow", ("small",)),
        ("B100000003", "plain one", ()),
    ]


def test_rare_attributes_weigh_more(webshop):
    all_goals = webshop().all_goals
    weights = dict(zip((all_goals.goal(i).asin for i in range(len(all_goals))), all_goals.weights(), strict=True))
    assert weights == {"B000000001": 1 / 1600, "B100000007": 1.0}


def test_fingerprints_tell_goals_with_other_limits_apart(webshop):
    tasks = [webshop(price_seed=seed).task(0) for seed in range(8)]
    assert len({task.instruction for task in tasks}) == len({task.fingerprint for task in tasks}) > 1


def test_a_task_of_other_price_limits_is_refused(webshop):
    foreign = next(
        task
        for seed in range(1, 20)
        if (task := webshop(price_seed=seed).task(0)).instruction != webshop().task(0).instruction
    )
    with pytest.raises(EnvironmentFailure) as caught:
        webshop().open(foreign)
    assert (caught.value.code, caught.value.details["task"]) == ("foreign-task", foreign.id)


def test_the_agent_is_not_told_which_product_a_goal_was_made_from(webshop):
    task = webshop().task(0)
    assert task.info == {"goal": 0}
    assert webshop().all_goals.goal(0).asin not in task.model_dump_json()


@pytest.mark.parametrize("content", ["", "[]", '{"goals": [{}]}', '{"goals": 5}', '{"prices": {}}'])
def test_a_file_that_holds_no_goals_is_refused(webshop, tmp_path, content):
    path = tmp_path / "goals.json"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        webshop(goals=path).tasks("test")
    assert (caught.value.code, caught.value.details) == ("no-goals", {"path": str(path)})


def test_a_given_goal_about_an_unknown_product_is_explained_when_it_is_scored(webshop, tmp_path):
    goal = {
        "asin": "B999999999",
        "category": "c",
        "query": "q",
        "name": "n",
        "product_category": "p",
        "price_upper": 10,
    }
    goal |= {"instruction_text": "buy it", "attributes": ["a"], "goal_options": {}}
    path = tmp_path / "goals.json"
    path.write_text(json.dumps({"goals": [goal]}))
    shop = webshop(goals=path)
    session = shop.open(shop.tasks("test")[0])
    session.step("search[soft cotton]")
    session.step("click[b000000001]")
    with pytest.raises(EnvironmentFailure) as caught:
        session.step("click[buy now]")
    assert (caught.value.code, caught.value.details["asin"]) == ("goal-without-product", "B999999999")
