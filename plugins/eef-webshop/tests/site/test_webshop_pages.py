from __future__ import annotations

import pytest
from eef_webshop.site.html_text import as_rendered, join_parts, script_safe_json
from eef_webshop.site.state import State

PILLOWS = "Instruction:\nFind me"


@pytest.mark.parametrize(
    ("text", "shown"), [("red", "red"), (" red ", " red "), ("", ""), ("  ", " "), ("\t\n ", ""), ("\xa0", "\xa0")]
)
def test_a_text_of_white_space_shrinks_to_a_blank_or_vanishes(text, shown):
    assert as_rendered(text) == shown


def test_parts_are_stripped_and_joined():
    assert join_parts(["a ", "", " ", "b"]) == "a [SEP]  [SEP] b"


def test_json_in_a_page_is_sorted_and_safe_in_scripts():
    assert script_safe_json({"b": "<é'&>", "a": '"'}) == '{"a": "\\"", "b": "\\u003c\\u00e9\\u0027\\u0026\\u003e"}'


def play(shop, *actions, goal=0):
    session = shop.open(shop.task(goal))
    for action in actions:
        assert session.step(action).valid, action
    return session


def test_a_chosen_option_is_marked_and_named_at_the_top_in_text_rich_only(webshop):
    actions = ("search[soft cotton]", "click[b000000001]", "click[1 inch]", "click[shade 2]")
    rich = play(webshop(mode="text_rich"), *actions).observation.text
    assert rich.startswith("You have clicked shade 2.\nYou have clicked 1 inch.\nInstruction:\n")
    assert "  [clicked button] 1 inch [clicked button_]\n  [button] 2 inch [button_]\n" in rich
    plain = play(webshop(mode="text"), *actions)
    assert plain.observation.text == play(webshop(mode="text"), *actions[:2]).observation.text


def test_an_opened_product_is_marked_in_the_results_until_the_first_page_is_seen_again(webshop):
    shop = webshop(mode="text_rich")
    session = play(shop, "search[soft cotton]", "click[b000000001]", "click[< prev]")
    assert "\n[clicked button] B000000001 [clicked button_]\n" in session.observation.text
    session = play(shop, "search[soft cotton]", "click[b000000001]", "click[back to search]", "search[soft cotton]")
    assert "\n[button] B000000001 [button_]\n" in session.observation.text


def test_a_quoted_word_of_the_query_marks_an_option_as_in_the_reference(webshop):
    text = play(webshop(mode="text_rich"), 'search["small" with lines]', "click[b000000002]").observation.text
    assert text.startswith("You have clicked small.\nYou have clicked small.\nInstruction:\n")
    assert "  [clicked button] small [clicked button_]\n" in text


def test_values_that_json_escapes_are_never_marked_as_in_the_reference(webshop):
    session = play(webshop(mode="text_rich"), "search[with lines]", "click[b000000002]", "click[né]")
    assert session.state.options == (("fit", "né"),)
    assert "clicked" not in session.observation.text


def test_product_texts_are_shown_raw_and_clickables_are_told_in_the_reference_s_order(webshop):
    session = play(webshop(mode="text"), "search[with lines]", "click[b000000002]")
    parts = session.observation.text.split(" [SEP] ")
    assert parts[2:] == [
        "Back to Search", "< Prev", "style", '8" x [big]', "small", "description", "search", "fit", "small", "né",
        "a | b", "Pillow <i>[SEP]</i> with\nlines", "Price: $10.0 to $30.0", "Rating: N.A.", "Description", "Features",
        "Reviews", "Buy Now",
    ]  # fmt: skip
    buttons = ["back to search", "< prev", "description", "features", "reviews", "buy now"]
    values = ['8" x [big]', "small", "", "search", "né", "a | b"]
    assert session.available == {"has_search_bar": False, "clickables": [*buttons, *values]}
    understood = [*buttons, "small", "né", "a | b"]
    assert session.observation.actions == tuple(f"click[{name}]" for name in understood)


def test_an_option_called_like_another_one_s_is_the_later_one(webshop):
    session = play(webshop(), "search[with lines]", "click[b000000002]", "click[small]")
    assert session.state.options == (("fit", "small"),)


def test_an_option_called_like_a_button_is_the_button(webshop):
    session = play(webshop(), "search[with lines]", "click[b000000002]", "click[description]")
    assert (session.state.kind, session.state.options) == ("tab", ())


def test_the_pages_of_a_product_show_its_details(webshop):
    shop = webshop(mode="text_rich", show_attributes=True)
    head = "[button] Back to Search [button_]\n[button] < Prev [button_]\n"

    def tab(asin, name):
        session = play(shop, "search[pillow]")
        product = shop.catalogue.index_of(asin)
        session.state = State("item", "pillow", (product,), product=product)
        session.step(f"click[{name}]")
        return session.observation.text.partition(head)[2]

    assert tab("B000000001", "description") == "A <b>soft</b> pillow & more.\n"
    assert tab("B000000001", "features") == " Easy to clean.\n \n Cotton  \n"
    assert tab("B000000001", "reviews") == ""
    assert tab("B000000001", "attributes") == " easy clean\n cotton\ngarden\nbed pillows\nHome › Bedding › Pillows\n"
    assert tab("B000000002", "description") == tab("B000000002", "features") == tab("B000000003", "description") == ""
    assert tab("B000000003", "features") == " one pillow 🦉\n"


def test_the_button_for_attributes_is_there_only_if_asked_for(webshop):
    actions = ("search[soft cotton]", "click[b000000001]")
    assert "click[attributes]" not in play(webshop(), *actions).observation.actions
    shown = play(webshop(show_attributes=True), *actions).observation
    assert "click[attributes]" in shown.actions
    assert "[SEP] Reviews [SEP] Attributes [SEP] Buy Now" in shown.text


def test_a_search_that_finds_nothing_still_has_a_next_page(webshop):
    session = play(webshop(), "search[zzzz]")
    assert session.observation.text.endswith("[SEP] Back to Search [SEP] Page 1 (Total results: 0) [SEP] Next >")
    session.step("click[next >]")
    assert session.available["clickables"] == ["back to search", "< prev", "next >"]
    assert session.observation.text.endswith("Page 2 (Total results: 0) [SEP] < Prev [SEP] Next >")


def test_the_last_page_tells_product_options_and_score(webshop):
    actions = ("search[soft cotton]", "click[b000000001]", "click[1 inch]", "click[buy now]")
    session = play(webshop(), *actions)
    assert '[SEP] asin [SEP] B000000001 [SEP] options [SEP] {"size": "1 inch"} [SEP] attrs' in session.observation.text
    assert f"[SEP] Your score (min 0.0, max 1.0) [SEP] {session.reward} [SEP]" in session.observation.text
    assert session.observation.actions == ()
    assert session.available == {"has_search_bar": False, "clickables": []}
