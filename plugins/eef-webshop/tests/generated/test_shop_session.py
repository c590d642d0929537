from __future__ import annotations

import pytest
from eef_webshop.generated.catalogue import COLORS, SIZES
from eef_webshop.generated.pages import BACK, BUY, NEXT, PREV, Item, Receipt, Results, Start, click
from eef_webshop.generated.shop import Shop
from eef_webshop.generated.shopper import PerfectShopper
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.interfaces import replay
from eef_framework.testing.conformance.environment import check_environment

SHOPS = {mode: Shop(mode=mode) for mode in ("compact", "text")}
LITERALS = (NEXT, PREV, BACK, BUY, *map(click, (*COLORS, *SIZES, *map(str, range(12)))), "search[lamp soft]")


def walk(shop: Shop, number: int, choices: list[int]):
    """Return a session after some admissible actions, before its end."""
    session = shop.open(shop.tasks("train")[number])
    session.step(f"search[{session.goal.query}]")
    for choice in choices:
        actions = [action for action in session.observation.actions if action != BUY] or ["search[mug]"]
        session.step(actions[choice % len(actions)])
    return session


walks = st.tuples(st.integers(0, 40), st.lists(st.integers(0, 30), max_size=8))
modes = st.sampled_from(("compact", "text"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["compact", "text"])
def test_the_shop_passes_the_conformance_kit(mode):
    check_environment(Shop(mode=mode, train=40, dev=10, test=20))


@given(modes, walks, st.text() | st.sampled_from(LITERALS) | st.from_regex(r"(click|search)\[[^\]]{0,9}\]?"))
def test_no_string_raises_and_an_invalid_one_changes_nothing(mode, way, action):
    session = walk(SHOPS[mode], *way)
    before = (session.page, session.visited, session.observation)
    admitted = session.observation.admits(action)
    step = session.step(action)
    assert step.valid is admitted
    if not admitted:
        assert (session.page, session.visited, step.observation) == before
        assert (step.reward, step.terminated) == (0.0, False)


@given(modes, walks)
def test_exactly_the_listed_clicks_are_understood(mode, way):
    session = walk(SHOPS[mode], *way)
    every = {*LITERALS, *(click(p.asin.lower()) for p in session.products), *session.observation.actions}
    understood = {action for action in every if session.fork().step(action).valid}
    searchable = {"search[lamp soft]"} if session.observation.free else set()
    assert understood == {*session.observation.actions} | searchable


@given(modes, walks, st.lists(st.integers(0, 30), max_size=3))
def test_a_fork_equals_a_replay_and_leaves_its_parent_alone(mode, way, more):
    session = walk(SHOPS[mode], *way)
    seen = (session.page, session.visited, session.observation, list(session.steps))
    fork = session.fork()
    again = replay(session.environment, session.task, session.initial, session.steps)
    for choice in more:
        actions = fork.observation.actions or ("search[rug]",)
        if fork.done:
            break
        action = actions[choice % len(actions)]
        assert fork.step(action) == again.step(action)
    assert (session.page, session.visited, session.observation, session.steps) == seen


def test_paging_reaches_each_result_once_and_ends_at_the_last_page(shop):
    session = shop.open(shop.tasks("train")[0])
    session.step("search[lamp]")
    shown = [*session.page.shown]
    while NEXT in session.observation.actions:
        session.step(NEXT)
        shown += session.page.shown
    assert shown == list(session.page.found)
    assert (session.page.number, session.page.pages) == (3, 3)
    assert PREV in session.observation.actions


def test_prev_leads_from_a_product_to_the_results_page_it_was_opened_from(shop):
    session = shop.open(shop.tasks("train")[0])
    for action in ("search[lamp]", NEXT, "click[3]", "click[small]", PREV):
        assert session.step(action).valid
    assert isinstance(session.page, Results)
    assert session.page.number == 2
    session.step("click[3]")
    assert session.page.size == ""  # options are forgotten when a product is left


def test_back_to_search_leads_to_the_start_and_keeps_marks_of_opened_products(shop):
    session = shop.open(shop.tasks("train")[0])
    for action in ("search[lamp]", "click[3]", BACK):
        session.step(action)
    assert session.page == Start()
    assert " seen click[3]" in session.step("search[lamp]").observation.text


def test_a_search_without_results_shows_an_empty_page(shop):
    session = shop.open(shop.tasks("train")[0])
    step = session.step("search[unicorn]")
    assert step.valid
    assert step.observation.actions == (BACK,)
    assert step.observation.text.endswith("page 1 of 1")


def test_an_option_can_be_changed(shop):
    session = shop.open(shop.tasks("train")[0])
    for action in ("search[lamp]", "click[1]", "click[small]", "click[large]"):
        session.step(action)
    assert session.observation.text.endswith("chosen large")


def test_buying_ends_the_episode_with_the_reward_of_what_was_bought(shop, demonstrate):
    (shown,) = demonstrate(PerfectShopper(), shop, shop.tasks("train")[:1])
    goal = shop.open(shown.task).goal
    session = replay(shop, shown.task, shown.initial, shown.steps[:-1])
    assert isinstance(session.page, Item)
    without_size = shop.open(shown.task)
    for action in shown.actions:
        if action != click(goal.size):
            without_size.step(action)
    assert isinstance(without_size.page, Receipt)
    assert without_size.reward == pytest.approx(4 / 5)  # style, feature, color and price, of five
    final = session.step(BUY)
    assert (final.reward, final.terminated, session.done) == (1.0, True, True)


def test_buying_something_else_earns_nothing(shop):
    session = shop.open(shop.tasks("train")[0])
    other = "mug" if session.goal.category != "mug" else "hat"
    for action in (f"search[{other}]", "click[1]", BUY):
        step = session.step(action)
    assert (step.reward, step.terminated) == (0.0, True)


def test_an_unfinished_episode_is_cut_off_and_earns_nothing(shop):
    session = shop.open(shop.tasks("train")[0])
    while not session.done:
        step = session.step("nonsense")
    assert len(session.steps) == 15
    assert (step.truncated, step.terminated, session.reward) == (True, False, 0.0)


def test_a_purchase_with_the_last_action_counts():
    shop = Shop(max_steps=5)
    session = shop.open(shop.tasks("train")[0])
    for action in ("search[lamp]", "click[1]", "click[small]", "click[small]", BUY):
        step = session.step(action)
    assert (step.terminated, step.truncated) == (True, False)


def test_compact_pages_show_everything_that_matters(shop):
    session = shop.open(shop.tasks("train")[0])
    goal = session.goal
    want = f"want {goal.category} {goal.style} {goal.feature} {goal.color} {goal.size} under {goal.price_upper}\n"
    assert session.observation.text == want + "search"
    session.step("search[lamp]")
    first = shop.catalogue[session.page.shown[0]]
    lines = session.observation.text.splitlines()
    assert lines[1] == f"{first.style} {first.price} click[1]"
    assert lines[-1] == "page 1 of 3"
    session.step("click[1]")
    session.step(click(first.colors[1]))
    assert session.observation.text == (
        f"{want}item {first.style} {' '.join(first.features)} {first.price}\ncolor {' '.join(first.colors)}\n"
        f"chosen {first.colors[1]}"
    )


def test_text_pages_look_like_webshop(text_shop):
    session = text_shop.open(text_shop.tasks("train")[0])
    instruction = f"Instruction: [SEP] {session.task.instruction} [SEP] "
    assert session.observation.text == instruction + "Search"
    session.step("search[lamp]")
    first = text_shop.catalogue[session.page.shown[0]]
    assert session.observation.text.startswith(
        f"{instruction}Back to Search [SEP] Page 1 (Total results: 30) [SEP] Next > [SEP] "
        f"{first.asin} [SEP] {first.style.title()} Lamp [SEP] ${first.price}.00 [SEP] "
    )
    session.step(click(first.asin.lower()))
    session.step(f"click[{first.colors[0]}]")
    text = session.observation.text
    assert f"You have clicked {first.colors[0]}. [SEP] Back to Search [SEP] < Prev [SEP] color [SEP] " in text
    assert all(feature in text for feature in first.features)
    assert text_shop.instructions


def test_both_modes_have_the_same_tasks_and_states(shop, text_shop, demonstrate):
    tasks = shop.tasks("train")[:20]
    assert text_shop.tasks("train")[:20] == tasks
    compact, text = (demonstrate(PerfectShopper(), each, tasks) for each in (shop, text_shop))
    assert [len(t.steps) for t in compact] == [len(t.steps) for t in text]
    assert [t.reward for t in compact] == [t.reward for t in text]


def test_search_is_offered_on_every_page_in_text_mode_and_on_the_first_in_compact_mode():
    for mode, expected in (("compact", False), ("text", True)):
        session = walk(SHOPS[mode], 0, [0])
        assert session.fork().step("search[lamp]").valid is expected
