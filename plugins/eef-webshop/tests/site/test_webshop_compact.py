from __future__ import annotations

import pytest


@pytest.fixture
def session(webshop):
    shop = webshop(mode="compact")
    index = next(
        i
        for i in range(len(shop.all_goals))
        if shop.all_goals.goal(i).options == {"color": "light blue", "size": "7 inch"}
    )
    return shop.open(shop.task(index))


def test_the_first_page_offers_searches_made_of_the_goal(session):
    limit = f"{session.goal.price_upper:.0f}"
    assert session.observation.text.splitlines() == [
        "want bed pillows",
        "with easy clean",
        "in color light blue",
        "in size 7 inch",
        f"under {limit}",
        "start click[find kind] click[find details] click[find all]",
    ]
    assert session.observation.actions == ("click[find kind]", "click[find details]", "click[find all]")


def test_a_result_is_a_line_of_asked_for_words_their_number_price_and_click(session):
    session.step("click[find all]")
    lines = session.observation.text.splitlines()[5:]
    assert lines[0].startswith("find all page 1 of ")
    assert "light blue 2 cheap best click[1]" in lines
    session.step("click[1]")
    session.step("click[< prev]")
    assert "light blue 2 cheap seen click[1]" in session.observation.text.splitlines()


def test_an_item_shows_attributes_and_the_likeliest_options_with_marks(session):
    for action in ("click[find all]", "click[1]"):
        session.step(action)
    lines = session.observation.text.splitlines()[5:]
    assert lines[:2] == ["item light blue 2 cheap", "has easy clean"]
    assert "7 inch wanted click[a6]" in lines
    assert "light blue wanted click[b6]" in lines
    assert sum("click[a" in line for line in lines) == sum("click[b" in line for line in lines) == 6
    session.step("click[b6]")
    assert "light blue chosen click[b6]" in session.observation.text.splitlines()


def test_buying_what_is_wanted_earns_what_it_earns_in_the_other_modes(session, webshop):
    for action in ("click[find all]", "click[1]", "click[a6]", "click[b6]", "click[buy now]"):
        step = session.step(action)
        assert step.valid
    text = webshop().open(webshop().task(session.task.info["goal"]))
    for action in ("search[soft cotton]", "click[b000000001]", "click[7 inch]", "click[light blue]", "click[buy now]"):
        other = text.step(action)
    assert (step.reward, step.info) == (other.reward, other.info)


def test_the_last_page_of_results_has_no_next(session):
    session.step("search[plain pillow number]")
    while "click[next >]" in session.observation.actions:
        assert session.step("click[next >]").valid
    assert "click[< prev]" in session.observation.actions
    assert not session.fork().step("click[next >]").valid


def test_odd_products_have_short_pages_too(webshop):
    shop = webshop(mode="compact")
    session = shop.open(shop.task(0))
    session.step("search[with lines]")
    session.step("click[1]")
    assert '\n8" x [big] click[a1]\n' in session.observation.text
    step = session.step("click[a1]")
    assert (step.valid, session.state.options) == (True, (("style", '8" x [big]'),))
    session.step("click[a3]")  # the value `description`
    assert session.state.options == (("style", "description"),)
    assert all(len(step.observation.text.split()) <= 120 for step in session.steps)


def test_missing_attributes_and_options_of_a_product_are_listed(session):
    session.step("search[with lines]")
    session.step("click[1]")
    lines = session.observation.text.splitlines()
    assert lines[6:8] == ["has none", "lacks easy clean , color , size"]


def test_no_result_is_best_if_all_matches_were_seen(session):
    for action in ("click[find all]", "click[1]", "click[< prev]"):
        session.step(action)
    assert " best " not in session.observation.text
