from __future__ import annotations

import asyncio

import pytest
from eef_webshop.generated.shop import Shop
from eef_webshop.site.environment import WebShop
from eef_webshop.site.shopper import WebShopPerfect, WebShopShopper

from eef_framework.errors import ConfigError
from eef_framework.records import Task, Trajectory
from eef_framework.rollout import continuations


def promising(shop: WebShop) -> list[Task]:
    """Tasks whose product says in its title that it is the one."""
    return [task for task in shop.tasks("test") if "light blue" in task.instruction][:8]


def parts_of(trajectory: Trajectory) -> dict[str, float]:
    return trajectory.steps[-1].info["reward"]


@pytest.mark.parametrize("mode", ["text", "text_rich", "compact"])
def test_the_perfect_shopper_buys_all_that_is_wanted(webshop, demonstrate, mode):
    shop = webshop(mode=mode)
    for trajectory in demonstrate(WebShopPerfect(), shop, promising(shop)):
        parts = parts_of(trajectory)
        assert (parts["r_att"], parts["r_option"], parts["r_price"]) == (1.0, 1.0, True)
        assert len(trajectory.steps) == 5  # search, open, two options, buy


def test_a_careful_shopper_finds_what_a_title_promises(webshop, demonstrate):
    for mode in ("text", "compact"):
        shop = webshop(mode=mode, max_steps=15)
        for trajectory in demonstrate(WebShopShopper(easy_skill=1, hard_skill=1), shop, promising(shop)):
            assert all(step.valid for step in trajectory.steps)
            assert parts_of(trajectory)["r_option"] == 1.0


def test_a_forgetful_shopper_forgets_one_option(webshop, demonstrate, monkeypatch):
    monkeypatch.setattr("eef_webshop.site.shopper.MISTAKES", {"forgets an option": 1})
    shop = webshop(mode="compact", max_steps=15)
    for trajectory in demonstrate(WebShopShopper(easy_skill=0, hard_skill=0), shop, promising(shop)):
        assert parts_of(trajectory)["r_option"] == 1 / 2


def test_a_shopper_who_never_buys_after_the_first_page_looks_at_products_until_the_end(webshop, demonstrate):
    shop = webshop(mode="compact", max_steps=15, per_page=1)
    expert = WebShopShopper(easy_skill=1, hard_skill=0, late_mistake="never buys")
    trajectories = demonstrate(expert, shop, shop.tasks("test")[:40])
    turned = [t for t in trajectories if {"click[next >]", "click[< prev]"} & set(t.actions)]
    assert turned
    assert len(turned) < len(trajectories)
    assert {len(t.steps) for t in turned} == {15}
    assert not any("click[buy now]" in t.actions for t in turned)
    assert max(t.actions.count("click[1]") for t in turned) > 3


def advice(expert, shop, shown):
    """Return what an expert does next in each state of a demonstration, as if somebody else had come there."""

    async def gather():
        states = [shown.at(state) for state in range(len(shown.steps))]
        return [row async for row in continuations(expert, shop, states, shown.seed, steps=1)]

    return [row.actions[-1] for row in sorted(asyncio.run(gather()), key=lambda row: row.prefix_length)]


@pytest.mark.parametrize("mode", ["text", "compact"])
def test_in_any_state_the_shopper_does_what_it_did_there(webshop, demonstrate, mode):
    shop = webshop(mode=mode, max_steps=15)
    expert = WebShopShopper(easy_skill=0.5, hard_skill=0.3)
    for shown in demonstrate(expert, shop, [*promising(shop), *shop.tasks("test")[:8]]):
        assert advice(expert, shop, shown) == list(shown.actions)


def test_demonstrations_depend_on_seed_and_task_alone(webshop, demonstrate):
    shop = webshop(mode="compact", max_steps=15)
    tasks = shop.tasks("test")[:12]
    together = demonstrate(WebShopShopper(easy_skill=0.5), shop, tasks)
    assert [demonstrate(WebShopShopper(easy_skill=0.5), shop, [task])[0].actions for task in tasks] == [
        trajectory.actions for trajectory in together
    ]
    others = demonstrate(WebShopShopper(easy_skill=0.5), shop, tasks, seed=1)
    assert [t.actions for t in others] != [t.actions for t in together]


@pytest.mark.parametrize("expert", [WebShopShopper(), WebShopPerfect()])
def test_another_shop_is_refused(expert, demonstrate):
    shop = Shop()
    with pytest.raises(ConfigError) as caught:
        demonstrate(expert, shop, shop.tasks("test")[:1])
    assert caught.value.code == "expert-misfit"


@pytest.mark.slow
def test_on_real_products_the_shopper_meets_about_a_third_of_the_goals(recorded_store, demonstrate):
    shop = WebShop(data=recorded_store, mode="compact", max_steps=15)
    tasks = shop.tasks("train")[:200]

    def met(expert) -> float:
        trajectories = demonstrate(expert, shop, tasks)
        assert not any(t.error for t in trajectories)
        return sum(t.reward == 1.0 for t in trajectories) / len(tasks)

    assert 0.25 < met(WebShopShopper()) < 0.45
    assert met(WebShopShopper(easy_skill=1, hard_skill=1)) > 0.5
    assert met(WebShopPerfect()) > 0.85
