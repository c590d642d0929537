from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from eef_webshop.site.environment import WebShop


@pytest.fixture(scope="module")
def episodes(recordings: Path) -> list[dict[str, Any]]:
    text = gzip.decompress((recordings / "reference_episodes.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def reference(recordings: Path) -> dict[str, Any]:
    return json.loads(gzip.decompress((recordings / "reference_goals.json.gz").read_bytes()))


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "column"), [("text", "observation"), ("text_rich", "observation_rich")])
def test_every_recorded_step_is_shown_and_scored_as_in_the_reference(recorded_store, episodes, mode, column):
    shop = WebShop(data=recorded_store, mode=mode, max_steps=None)
    steps = 0
    for episode in episodes:
        session = shop.open(shop.task(episode["goal_index"]))
        assert session.available == episode["initial_available"]
        assert mode != "text" or session.observation.text == episode["initial_observation"]
        for recorded in episode["steps"]:
            step = session.step(recorded["action"])
            where = f"episode {episode['episode']}, {recorded['action']}"
            assert step.observation.text == recorded[column], where
            assert session.available == recorded["available"], where
            assert (step.reward, step.done) == (recorded["reward"], recorded["done"]), where
            assert step.info.get("reward") == recorded.get("reward_info"), where
            steps += 1
    assert steps == 1604


def test_goals_come_in_the_reference_s_order_with_its_limits_and_prices(recorded_store, reference):
    shop = WebShop(data=recorded_store)
    assert len(shop.all_goals) == len(reference["goals"]) == 6910
    for index, expected in enumerate(reference["goals"]):
        goal = shop.all_goals.goal(index)
        assert (goal.asin, goal.query, goal.name) == (expected["asin"], expected["query"], expected["name"])
        assert (goal.instruction, goal.price_upper) == (expected["instruction_text"], expected["price_upper"])
        assert (list(goal.attributes), goal.options) == (expected["attributes"], expected["goal_options"])
    for index in range(len(shop.catalogue)):
        product = shop.catalogue.product(index)
        assert shop.all_goals.price(index, product) == reference["prices"][product.asin]


def test_goals_weigh_what_they_weigh_in_the_reference(recorded_store, reference):
    weights = WebShop(data=recorded_store).all_goals.weights()
    assert weights == [goal["weight"] for goal in reference["goals"]]


def test_goals_of_a_file_are_taken_as_they_are(recorded_store, recordings, reference):
    drawn = WebShop(data=recorded_store)
    given = WebShop(data=recorded_store, goals=recordings / "reference_goals.json.gz")
    assert len(given.all_goals) == len(drawn.all_goals)
    for index in range(0, 6910, 97):
        assert given.all_goals.goal(index) == drawn.all_goals.goal(index)
        assert given.task(index).fingerprint == drawn.task(index).fingerprint
    product = drawn.catalogue.product(5)
    assert given.all_goals.price(5, product) == reference["prices"][product.asin]


def test_human_goals_of_the_small_catalogue_are_its_thirteen(recorded_store):
    shop = WebShop(data=recorded_store, goals="human")
    instructions = [task.instruction for task in shop.tasks("test")]
    assert len(instructions) == 13
    assert (
        sum(text.startswith("i need a 120 ml hair mask treatment, and price lower than ") for text in instructions) == 1
    )
    assert shop.all_goals.weights() == [1.0] * 13
