from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections import defaultdict

import pytest
from eef_webshop.generated.pages import BACK, BUY, NEXT, PREV
from eef_webshop.generated.shop import Shop
from eef_webshop.generated.shopper import PerfectShopper, Shopper

from eef_framework.errors import ConfigError
from eef_framework.records import SuccessRule
from eef_framework.rollout import continuations
from eef_framework.testing.corridor import Corridor

HARD = ("paging", "back", "both")


@pytest.fixture(scope="module")
def thousand(shop, demonstrate):
    return demonstrate(Shopper(), shop, shop.tasks("train")[:1000])


def rate(trajectories) -> float:
    return sum(map(SuccessRule().holds, trajectories)) / len(trajectories)


@pytest.mark.slow
def test_every_goal_can_be_met_within_the_limit(shop, demonstrate):
    for split in ("train", "dev", "test"):
        for shown in demonstrate(PerfectShopper(), shop, shop.tasks(split)):
            assert (shown.reward, shown.ending) == (1.0, "terminated"), shown.task.instruction
            assert all(step.valid for step in shown.steps)


def advice(expert, shop, shown):
    """Return what an expert does next in each state of a demonstration, as if somebody else had come there."""

    async def gather():
        states = [shown.at(state) for state in range(len(shown.steps))]
        return [row async for row in continuations(expert, shop, states, shown.seed, steps=1)]

    return [row.actions[-1] for row in sorted(asyncio.run(gather()), key=lambda row: row.prefix_length)]


@pytest.mark.parametrize("expert", [Shopper(), PerfectShopper()])
def test_in_any_state_a_shopper_does_what_it_did_there(shop, demonstrate, expert):
    for shown in demonstrate(expert, shop, shop.tasks("train")[:30]):
        assert advice(expert, shop, shown) == list(shown.actions)


def test_the_kind_of_a_goal_is_what_a_careful_shopper_has_to_do(shop, demonstrate):
    for shown in demonstrate(PerfectShopper(), shop, shop.tasks("dev")[:300]):
        assert (NEXT in shown.actions) is (shown.task.kind in ("paging", "both"))
        assert (PREV in shown.actions) is (shown.task.kind in ("back", "both"))


def test_the_shopper_succeeds_a_little_more_often_than_every_third_time(thousand):
    assert 0.33 <= rate(thousand) <= 0.40


def test_the_shopper_is_good_at_easy_goals_and_bad_at_the_rest(thousand):
    kinds = defaultdict(list)
    for shown in thousand:
        kinds[shown.task.kind].append(shown)
    assert rate(kinds["easy"]) > 0.95
    assert all(0.01 <= rate(kinds[kind]) <= 0.10 for kind in HARD)
    assert 0.04 <= rate([shown for kind in HARD for shown in kinds[kind]]) <= 0.08


def test_failures_begin_with_what_hard_goals_need(thousand):
    failures = [shown for shown in thousand if shown.task.kind in HARD and shown.reward < 1.0]
    assert all({NEXT, PREV} & set(shown.actions) for shown in failures)
    assert sum(BACK in shown.actions for shown in failures) > 50
    # Most of them are lost with the last few actions only: the perfect shopper would have done the same until then.
    assert sum(shown.reward >= 0.6 for shown in failures) / len(failures) > 0.6


def test_the_shopper_makes_no_invalid_action(thousand):
    assert all(step.valid for shown in thousand for step in shown.steps)


def test_a_failed_episode_ends_with_a_wrong_purchase(thousand):
    assert all(shown.actions[-1] == BUY and shown.ending == "terminated" for shown in thousand)


def test_ids_and_actors_name_the_expert_and_the_task(thousand):
    assert thousand[0].id == f"expert/shopper/{thousand[0].task.id}"
    assert thousand[0].actor == "expert/shopper"
    assert len({shown.id for shown in thousand}) == 1000


def test_a_demonstration_depends_on_seed_and_task_alone(shop, thousand, demonstrate):
    tasks = shop.tasks("train")[:40]
    assert demonstrate(Shopper(), shop, tasks[::-1]) == thousand[:40][::-1]
    assert demonstrate(Shopper(), shop, tasks, seed=1) != thousand[:40]


def test_skill_is_a_setting(shop, demonstrate):
    tasks = shop.tasks("train")[:60]
    assert rate(demonstrate(Shopper(easy_skill=1.0, hard_skill=1.0), shop, tasks)) == 1.0
    assert rate(demonstrate(Shopper(easy_skill=0.0, hard_skill=0.0), shop, tasks)) < 0.2


def test_the_experts_decline_other_environments(demonstrate):
    with pytest.raises(ConfigError) as caught:
        demonstrate(Shopper(), Corridor(), Corridor().tasks("train")[:1])
    assert caught.value.code == "expert-misfit"


def test_the_vocabulary_of_compact_mode_is_small_and_its_pages_are_short(thousand):
    # As the tiny model splits them: clicks whole, brackets apart, the rest at spaces.
    pattern = re.compile(r"\bclick\[[^\]]*\]|\b\w+\[|\]|[^\s\]]+")
    words, lengths = set(), []
    for shown in thousand:
        for text in [shown.initial.text, *shown.actions, *(step.observation.text for step in shown.steps)]:
            words.update(pattern.findall(text))
        lengths += [len(pattern.findall(step.observation.text)) for step in shown.steps]
    assert len(words) < 100
    assert max(lengths) <= 55


PROGRAM = """
import asyncio, hashlib
from eef_webshop.generated.shop import Shop
from eef_webshop.generated.shopper import Shopper
from eef_framework.rollout import demonstrations
async def main():
    shop = Shop()
    digest = hashlib.sha256()
    async for shown in demonstrations(Shopper(), shop, shop.tasks("test")[:60], 5):
        digest.update(shown.model_dump_json().encode())
    print(digest.hexdigest())
asyncio.run(main())
"""


def test_hash_seeds_do_not_change_goals_pages_or_demonstrations():
    def digest(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert digest("1") == digest("2")


def test_closing_a_shop_twice_is_harmless():
    with Shop() as shop:
        shop.close()
