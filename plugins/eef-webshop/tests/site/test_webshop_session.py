from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eef_framework.records import encodable

MODES = ("text", "text_rich", "compact")
WORDS = st.text(max_size=12)
LISTED = st.integers(0, 30)
"""The place of a listed action, taken round and round."""
ODD = st.one_of(
    st.text(max_size=40),
    st.builds("search[{}]".format, WORDS),
    st.builds("click[{}]".format, WORDS),
    st.sampled_from(
        [
            "click[search]",
            "click[]",
            "search[]",
            "Search[pillow]",
            "click[Buy Now]extra",
            "search[<r>]",
            "[",
            "search[\ud800]",
            "click[\ud800]",
        ]
    ),
)


@pytest.fixture(scope="module")
def shops(store):
    from eef_webshop.site.environment import WebShop

    return {mode: WebShop(data=store, mode=mode, max_steps=None) for mode in MODES}


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(goal=st.integers(0, 1600), actions=st.lists(st.one_of(LISTED, ODD), max_size=12))
def test_any_action_is_survived_and_an_invalid_one_changes_nothing(shops, mode, goal, actions):
    session = shops[mode].open(shops[mode].task(goal))
    for each in actions:
        listed = session.observation.actions
        action = (listed[each % len(listed)] if listed else "search[plain pillow]") if isinstance(each, int) else each
        before = (session.state, session.observation)
        step = session.step(action)
        assert step.action == encodable(action)
        if not step.valid:
            assert (session.state, session.observation, step.reward, step.done) == (*before, 0.0, False)
        if step.done:
            break
        assert all(session.fork().step(other).valid for other in session.observation.actions)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(st.integers(0, 30), max_size=10))
def test_text_and_text_rich_show_the_same_states(shops, actions):
    plain, rich = (shops[mode].open(shops[mode].task(3)) for mode in ("text", "text_rich"))
    for each in actions:
        listed = plain.observation.actions
        action = listed[each % len(listed)] if listed else "search[light pillow]"
        one, other = plain.step(action), rich.step(action)
        assert (plain.state, one.reward, one.observation.actions) == (
            rich.state,
            other.reward,
            other.observation.actions,
        )
        if one.done:
            break


def test_searching_works_on_every_page_but_only_the_first_lists_it(webshop):
    session = webshop().open(webshop().task(0))
    assert session.observation.free
    for action in ("search[soft cotton]", "click[b000000001]", "click[reviews]"):
        session.step(action)
        assert not session.observation.free
        assert session.fork().step("search[plain]").valid


@pytest.mark.parametrize("mode", MODES)
def test_pages_of_fewer_results_show_the_same_products_one_page_after_another(webshop, mode):
    def listed(per_page: int) -> list[int]:
        shop = webshop(mode=mode, max_steps=None, per_page=per_page)
        session = shop.open(shop.task(0))
        session.step(session.pages.searching(session.goal, False, False))
        pages = session.state.pages
        assert pages == -(-len(session.state.found) // per_page)
        shown = list(session.state.shown)
        for number in range(2, pages + 1):
            assert session.step("click[next >]").valid
            assert session.state.number == number
            assert 1 <= len(session.state.shown) <= per_page
            shown += session.state.shown
        assert "click[back to search]" in session.observation.actions
        session.step("click[back to search]")
        session.step(session.pages.searching(session.goal, False, False))
        assert len(session.state.shown) == min(per_page, len(session.state.found))
        return shown

    assert listed(1) == listed(3) == listed(10)
    assert len(listed(1)) > 10


def test_the_step_of_a_purchase_has_the_parts_of_the_reward(webshop):
    shop = webshop()
    index = next(i for i in range(len(shop.all_goals)) if shop.all_goals.goal(i).asin == "B000000001")
    goal = shop.all_goals.goal(index)
    session = shop.open(shop.task(index))
    size, color = goal.options["size"], goal.options["color"]
    for action in ("search[soft cotton]", "click[b000000001]", f"click[{size}]", f"click[{color}]", "click[buy now]"):
        step = session.step(action)
    parts = step.info["reward"]
    assert (step.terminated, parts["r_att"], parts["r_price"]) == (True, 1.0, True)
    assert (parts["w_att"], parts["w_option"], parts["w_price"]) == (1 / 4, 2 / 4, 1 / 4)
    assert (parts["query_match"], parts["category_match"], parts["title_score"]) == (True, True, 0.2)
    hits = 1 + 2 * parts["r_option"] + 1
    assert step.reward == session.reward == parts["r_type"] * hits / 4


def test_an_episode_ends_at_its_limit_with_nothing(webshop):
    session = webshop(max_steps=2).open(webshop().task(0))
    assert not session.step("think[hm]").done
    last = session.step("search[soft cotton]")
    assert (last.truncated, last.terminated, session.reward) == (True, False, 0.0)


def test_a_purchase_in_the_last_step_counts(webshop):
    session = webshop(max_steps=3).open(webshop().task(0))
    for action in ("search[soft cotton]", "click[b000000001]", "click[buy now]"):
        session.step(action)
    assert (session.steps[-1].terminated, session.steps[-1].truncated) == (True, False)
    assert session.reward > 0


def test_a_fork_is_independent(webshop):
    session = webshop().open(webshop().task(0))
    session.step("search[soft cotton]")
    fork = session.fork()
    fork.step("click[b000000001]")
    assert (session.state.kind, fork.state.kind, len(session.steps)) == ("results", "item", 1)
    assert session.product is None
    assert fork.product.asin == "B000000001"
