from __future__ import annotations

import pytest
from eef_webshop.reward import (
    Bought,
    ProductType,
    Wanted,
    is_similar,
    normalize_color,
    reward,
    score,
    type_factor,
    type_match,
)


def kind(query: str = "lamps", categories: str = "home lighting", nouns: str = "lamp") -> ProductType:
    return ProductType(query, frozenset(categories.split()), frozenset(nouns.split()))


WANTED = Wanted(kind(), attributes=("soft", "easy to clean"), options=("red", "small"), price_upper=30.0)


def bought(**changes: object) -> Bought:
    fields = {
        "type": kind(),
        "attributes": ("soft", "easy to clean"),
        "text": "",
        "options": ("red", "small"),
        "price": 30.0,
    }
    return Bought(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 1.0),  # 2 attributes + 2 options + the price, of 5
        ({"price": 30.01}, 4 / 5),
        ({"options": ("red",)}, 4 / 5),
        ({"options": ()}, 3 / 5),
        ({"attributes": ("soft",)}, 4 / 5),
        ({"attributes": ("soft",), "text": "a lamp that is easy to clean"}, 1.0),
        ({"attributes": ("Clean, easy to!", "SOFT")}, 1.0),  # case, punctuation and order don't count
        ({"attributes": (), "options": (), "price": 99.0}, 0.0),
        ({"type": kind(nouns="chair")}, 0.0),  # no noun in common
        ({"type": kind(nouns="chair"), "price": 99.0}, 0.0),
    ],
)
def test_the_reward_is_what_was_hit_of_what_was_asked_for(changes, expected):
    assert reward(bought(**changes), WANTED) == pytest.approx(expected)


def test_a_goal_without_options_divides_by_attributes_and_price_alone():
    wanted = Wanted(kind(), attributes=("soft",), options=(), price_upper=30.0)
    assert reward(bought(attributes=(), options=()), wanted) == pytest.approx(1 / 2)


MANY = "one two three four five six seven eight nine ten eleven"


@pytest.mark.parametrize(
    ("mine", "theirs", "factor"),
    [
        (kind(nouns="desk lamp"), kind(nouns="lamp"), 1.0),
        # One of five nouns is not above 0.2, so query or category has to help.
        (kind("x", "a b", "one"), kind("y", "c d", "one two three four five"), 0.5),
        (kind("y", "a b", "one"), kind("y", "c d", "one two three four five"), 1.0),
        (kind("x", "c d", "one"), kind("y", "c d", "one two three four five"), 1.0),
        (kind("x", "c b", "one"), kind("y", "c d", "one two three four five"), 0.5),
        # One of four is above 0.2.
        (kind("x", "a b", "one"), kind("y", "c d", "one two three four"), 1.0),
        # One of eleven is below 0.1, which the right query doesn't heal.
        (kind("y", "c d", "one"), kind("y", "c d", MANY), 0.1),
        (kind("y", "c d", "other"), kind("y", "c d", "one"), 0.0),
        # A name without nouns counts as sharing 0.2.
        (kind("x", "a b", "one"), kind("y", "c d", ""), 0.5),
        (kind("y", "a b", "one"), kind("y", "c d", ""), 1.0),
    ],
)
def test_the_type_factor_follows_nouns_then_query_and_category(mine, theirs, factor):
    assert type_factor(mine, theirs) == factor


def test_phrases_are_the_same_above_a_ratio_of_85():
    assert is_similar("easy to clean", "clean easy to")
    assert is_similar("water resistant", "water resistance")  # 2 * 14 common letters of 31: 90
    assert not is_similar("a" * 20 + "bbb", "a" * 20 + "cccc")  # 40 of 47: 85.1, which rounds to 85
    assert is_similar("red", "red plaid")  # a subset of words has 100
    assert not is_similar("small", "smart")  # 60
    assert not is_similar("", "red")


def test_repeated_nouns_of_the_wanted_name_count_repeatedly():
    wanted = ProductType("y", frozenset("cd"), frozenset({"lamp", "desk"}), noun_count=10)
    match = type_match(kind(query="x", categories="a b", nouns="lamp"), wanted)
    assert (match.title, match.factor) == (1 / 10, 0.5)
    assert type_match(kind(query="x", categories="a b", nouns="lamp"), kind("y", "c d", "lamp desk")).factor == 1.0


@pytest.mark.parametrize(
    ("option", "phrase"),
    [
        ("navy stripes", "navy"),
        ("dark blue", "blue"),  # the list's order counts, not the value's
        ("covered", "red"),
        ("10 inch", "10 inch"),
        (("color", "navy stripes"), "('color', 'navy stripes')"),
        (("color", "navy"), "navy"),
        (("size", '8" x 8"'), "('size', '8\" x 8\"')"),
    ],
)
def test_an_option_is_compared_by_its_color_word(option, phrase):
    assert normalize_color(option) == phrase


@pytest.mark.parametrize(
    ("chosen", "value", "hit"),
    [
        ("navy stripes", "navy stripes", True),
        ("black", "black", True),
        ("228black", "228black", False),  # becomes `black`, and the goal's pair stays as it is
        ("8 inch", "8 inch", True),
        ("9 inch", "8 inch", False),
    ],
)
def test_a_chosen_value_meets_the_pair_of_a_synthetic_goal_as_in_the_reference(chosen, value, hit):
    assert is_similar(normalize_color(chosen), normalize_color(("size", value))) is hit


def test_characters_beyond_ascii_vanish_before_phrases_are_compared():
    assert is_similar("caféé noir", "caf noir")
    assert not is_similar("猫", "犬")


def test_the_parts_of_a_score_have_the_reference_s_names():
    earned = score(bought(options=("red",), price=40.0, type=kind(nouns="lamp shade")), WANTED)
    assert earned.total == pytest.approx(3 / 5)
    assert earned.breakdown(WANTED) == {
        "r_type": 1.0,
        "r_att": 1.0,
        "w_att": 2 / 5,
        "query_match": True,
        "category_match": True,
        "title_score": 1.0,
        "r_option": 1 / 2,
        "w_option": 2 / 5,
        "r_price": False,
        "w_price": 1 / 5,
    }


def test_a_goal_without_options_has_no_option_part():
    wanted = Wanted(kind(), attributes=("soft",), options=(), price_upper=30.0)
    parts = score(bought(), wanted).breakdown(wanted)
    assert "r_option" not in parts
    assert (parts["w_att"], parts["w_price"]) == (1 / 2, 1 / 2)
