from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from eef_webshop.generated.catalogue import Product, generate
from eef_webshop.generated.goals import KINDS, Difficulty, Goal, difficulty, draw_goals
from eef_webshop.generated.search import SearchEngine
from eef_webshop.generated.shop import Shop

from eef_framework.errors import ConfigError, EnvironmentFailure, UnknownName

GOAL = Goal("lamp", "soft", "washable", "red", "small", 20)


def product(popularity: float, style="soft", features=("washable",), colors=("red",), price=20) -> Product:
    return Product("B000000000", "lamp", style, features, colors, price, popularity)


def test_the_instruction_is_worded_as_in_webshop():
    assert GOAL.instruction == (
        "Find me soft, washable lamp with color: red, and size: small, and price lower than 20.00 dollars"
    )


def test_difficulty_counts_pages_and_products_that_only_look_right():
    right = product(0.5)
    decoys = [product(0.9, colors=("blue",)), product(0.8, features=("durable",))]
    others = [product(0.7, price=30), product(0.6, style="round")]
    assert difficulty(GOAL, SearchEngine([right])) == Difficulty(page=1, decoys=0)
    assert difficulty(GOAL, SearchEngine([*decoys, *others, right])) == Difficulty(page=1, decoys=2)
    crowd = [product(0.7, price=30) for _ in range(10)]
    assert difficulty(GOAL, SearchEngine([*crowd, right])) == Difficulty(page=2, decoys=0)
    assert difficulty(GOAL, SearchEngine([*decoys, *others])) is None


@pytest.mark.parametrize(
    ("page", "decoys", "kind", "steps"),
    [(1, 0, "easy", 5), (3, 0, "paging", 7), (1, 2, "back", 9), (2, 1, "both", 8)],
)
def test_kind_and_steps_follow_from_pages_and_decoys(page, decoys, kind, steps):
    assert (Difficulty(page, decoys).kind, Difficulty(page, decoys).steps) == (kind, steps)


def test_a_third_of_the_goals_is_easy_and_the_rest_is_spread_evenly(shop):
    for split in ("train", "dev", "test"):
        kinds = Counter(task.kind for task in shop.tasks(split)[:900])
        assert kinds == {"easy": 300, "paging": 200, "back": 200, "both": 200}


def test_the_share_of_easy_goals_is_a_setting():
    assert Counter(task.kind for task in Shop(easy=1.0).tasks("train")[:50]) == {"easy": 50}
    assert "easy" not in {task.kind for task in Shop(easy=0.0).tasks("train")[:50]}


def test_hard_goals_have_the_kinds_that_are_asked_for():
    tasks = Shop(easy=0.4, hard={"paging": 2, "both": 1}).tasks("train")[:100]
    assert Counter(task.kind for task in tasks) == {"easy": 40, "paging": 40, "both": 20}


def test_without_shares_of_hard_goals_all_goals_are_easy():
    assert Counter(task.kind for task in Shop(hard={}).tasks("train")[:50]) == {"easy": 50}


def test_splits_have_their_sizes_and_share_no_goal(shop):
    splits = {split: list(shop.tasks(split)) for split in ("train", "dev", "test")}
    assert {split: len(tasks) for split, tasks in splits.items()} == {"train": 4000, "dev": 1000, "test": 2000}
    tasks = [task for tasks in splits.values() for task in tasks]
    assert len({task.instruction for task in tasks}) == len({task.id for task in tasks}) == 7000
    assert len({task.fingerprint for task in tasks}) == 7000


def test_the_size_of_a_split_does_not_change_its_first_tasks(shop):
    assert list(Shop(train=20).tasks("train")) == shop.tasks("train")[:20]


def test_asking_for_more_goals_than_there_are_says_so():
    tasks = Shop(products=50, train=10_000).tasks("train")
    assert len(tasks) == 10_000
    with pytest.raises(ConfigError) as caught:
        list(tasks)
    assert (caught.value.code, caught.value.details["split"]) == ("too-few-goals", "train")


def test_tasks_can_be_read_from_the_end(shop):
    tasks = shop.tasks("dev")
    assert tasks[-1] == tasks[999]
    assert tasks[2:0] == []
    with pytest.raises(IndexError):
        tasks[1000]


def test_an_unknown_split_gets_a_suggestion(shop):
    with pytest.raises(UnknownName) as caught:
        shop.tasks("trian")
    assert "train" in caught.value.details["known"]


def test_a_task_of_another_catalogue_is_refused(shop):
    task = Shop(catalogue_seed=1).tasks("train")[0]
    with pytest.raises(EnvironmentFailure) as caught:
        shop.open(task)
    assert caught.value.code == "foreign-task"


@pytest.mark.parametrize("changes", [{"environment": "webshop"}, {"info": {}}, {"info": {"category": "lamp"}}])
def test_a_task_of_another_environment_or_version_is_refused(shop, changes):
    with pytest.raises(EnvironmentFailure) as caught:
        shop.open(shop.tasks("train")[0].changed(**changes))
    assert caught.value.code == "foreign-task"


def test_a_task_holds_its_goal_and_no_product(shop):
    task = shop.tasks("train")[0]
    assert Goal.of(task.info).instruction == task.instruction
    assert set(task.info) == {"category", "style", "feature", "color", "size", "price_upper"}


def test_drawing_ends_when_a_catalogue_has_no_further_goals():
    engine = SearchEngine(generate(50, 1))
    drawn = list(islice(draw_goals(engine, "dev", 1, dict.fromkeys(KINDS, 1.0), 15), 50_000))
    assert 0 < len(drawn) < 50_000
    assert len({goal for goal, _ in drawn}) == len(drawn)
