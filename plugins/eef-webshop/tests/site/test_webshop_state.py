from __future__ import annotations

import re

import pytest
from eef_webshop.site.navigation import follow
from eef_webshop.site.state import State, can_be_clicked, parse
from hypothesis import example, given
from hypothesis import strategies as st

PATTERN = re.compile(r"(.+)\[(.+)\]")


@given(st.text(alphabet=st.sampled_from("ab[]\n\r é "), max_size=30))
@example("click[a[b]]")
@example("search[a] then [b")
@example("[x]")
@example("a[]")
@example("a[]]")
def test_actions_are_split_as_the_reference_s_pattern_splits_them(action):
    match = PATTERN.match(action)
    assert parse(action) == (match.groups() if match else (action, None))


def test_a_long_action_without_an_end_is_split_too():
    assert parse("[" * 1_000_000) == ("[" * 1_000_000, None)  # a backtracking pattern takes hours


@pytest.mark.parametrize(
    ("target", "possible"),
    [("red", True), ("a [b]", False), ("a]", True), ("", False), ("a\nb", False), ("Red", False)],
)
def test_some_values_can_not_be_named_in_an_action(target, possible):
    assert can_be_clicked(target) is possible


ITEM = State("item", "soft pillow", tuple(range(25)), 2, product=7, options=(("size", "big"),), seen=frozenset({7}))


def test_back_from_a_product_leads_to_the_page_of_results_it_was_opened_from():
    back = follow(ITEM, "< prev", None)
    assert (back.kind, back.number, back.shown) == ("results", 2, tuple(range(10, 20)))
    assert (back.options, back.seen) == ((), {7})


def test_back_from_a_tab_keeps_the_options_chosen():
    tab = follow(ITEM, "description", None)
    assert (tab.kind, tab.tab) == ("tab", "description")
    assert follow(tab, "< prev", None) == ITEM


def test_back_to_search_forgets_everything():
    assert follow(ITEM, "back to search", None) == State()


def test_another_value_of_an_option_takes_the_place_of_the_first():
    color = follow(ITEM, "red", "color")
    assert follow(color, "small", "size").options == (("size", "small"), ("color", "red"))


def test_pages_of_results_can_be_left_at_both_ends():
    last = State("results", "x", tuple(range(11)), 2)
    beyond = follow(last, "next >", None)
    assert (beyond.number, beyond.shown) == (3, ())
    assert follow(beyond, "< prev", None).shown == (10,)


@pytest.mark.parametrize(("kind", "number"), [("item", 1), ("tab", 1)])
def test_a_query_that_names_the_results_misleads_the_way_back_as_in_the_reference(kind, number):
    state = ITEM._replace(kind=kind, query="search_results", tab="reviews" if kind == "tab" else "")
    assert (follow(state, "< prev", None).kind, follow(state, "< prev", None).number) == ("results", number)
    tab = ITEM._replace(kind="tab", query="item_page")
    assert (follow(tab, "< prev", None).kind, follow(tab, "< prev", None).number) == ("results", 2)
