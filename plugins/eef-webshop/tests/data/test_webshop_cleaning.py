from __future__ import annotations

import json

import pytest
from eef_webshop.data.cleaning import Unusable, clean
from eef_webshop.data.product import decode, encode, search_text
from hypothesis import given
from hypothesis import strategies as st


def test_a_record_becomes_what_the_reference_makes_of_it(record):
    extras = {"attributes": ["solid wood"], "instruction": "Find me", "instruction_attributes": ["solid wood"]}
    human = [{"instruction": "a table", "instruction_attributes": ["solid wood"], "instruction_options": ["red"]}]
    product = clean(record(), extras, human)
    assert product.query == "console tables"
    assert product.options == {"color": ("red | blue", "green")}
    assert product.pricing == (19.99, 25.5)
    assert product.price_tag == "$19.99 to $25.5"
    assert product.attributes == ("solid wood",)
    assert product.instruction == "Find me"
    assert product.human_instructions == tuple(human)
    assert product.bullets == ("Solid wood", "Four legs")
    assert product.main_image == "https://example.com/1.jpg"


@pytest.mark.parametrize(
    ("given_price", "prices", "tag"),
    [
        ("", (100.0,), "$100.0"),
        (None, (100.0,), "$100.0"),
        ("$5", (5.0,), "$5.0"),
        ("$1,234.50", (1234.5,), "$1234.5"),
        ("$1.10 - $2.20 $3.30", (1.1, 2.2), "$1.1 to $2.2"),
        ("from $7.00 each", (7.0,), "$7.0"),
    ],
)
def test_prices_are_read_as_the_reference_reads_them(record, given_price, prices, tag):
    product = clean(record(pricing=given_price), None, ())
    assert (product.pricing, product.price_tag) == (prices, tag)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pricing": "19.99"}, "'pricing' isn't a price"),
        ({"pricing": "$"}, "'pricing' isn't a price"),
        ({"pricing": "$1.2.3"}, "'pricing' isn't a price"),
        ({"pricing": 19.99}, "'pricing' isn't a string"),
        ({"pricing": "$99999999"}, "absurd price"),
        ({"pricing": "$" + "9" * 400}, "absurd price"),
        ({"name": None}, "'name' isn't a string"),
        ({"asin": "B00 000001"}, "ASIN"),
        ({"asin": ""}, "ASIN"),
        ({"asin": "Bé00000001"}, "ASIN"),
        ({"customization_options": "red"}, "'customization_options' isn't a JSON object"),
        ({"customization_options": {"color": [{"name": "red"}]}}, "no list of values"),
        ({"customization_options": {"color": [{"value": 3}]}}, "no list of values"),
        ({"small_description": [1]}, "'small_description' isn't a list of strings"),
    ],
)
def test_a_broken_record_says_what_is_wrong(record, changes, reason):
    with pytest.raises(Unusable, match=reason):
        clean(record(**changes), None, ())


@pytest.mark.parametrize("key", ["asin", "category", "query", "product_category", "name", "full_description"])
def test_a_missing_key_is_named(record, key):
    broken = record()
    del broken[key]
    with pytest.raises(Unusable, match=f"key '{key}' is missing"):
        clean(broken, None, ())


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=4,
    )
)
def test_whatever_stands_in_the_place_of_a_record_is_refused(value):
    with pytest.raises(Unusable):
        clean(value, None, ())


def test_a_product_without_an_entry_in_the_attributes_gets_the_reference_s_dummy(record):
    assert clean(record(), None, ()).attributes == ("DUMMY_ATTR",)
    assert clean(record(), {"attributes": []}, ()).attributes == ()


def test_a_single_text_for_the_bullets_is_one_bullet(record):
    assert clean(record(small_description="one"), None, ()).bullets == ("one",)


def test_the_search_text_is_that_of_the_reference(record):
    product = clean(
        record(customization_options={"Color": [{"value": "Red"}], "Size": [{"value": "XL"}, {"value": "S"}]}), None, ()
    )
    assert search_text(product) == (
        "wooden table b000000001 a table of solid wood. solid wood color: red, and size: xl, s"
    )


def test_a_product_without_bullets_and_options_has_a_search_text(record):
    product = clean(record(small_description=[], customization_options=""), None, ())
    assert search_text(product) == "wooden table b000000001 a table of solid wood.  "


@given(name=st.text(), bullets=st.lists(st.text()), options=st.dictionaries(st.text(), st.lists(st.text())))
def test_any_texts_survive_the_store(record, name, bullets, options):
    given_options = {key: [{"value": value} for value in values] for key, values in options.items()}
    product = clean(record(name=name, small_description=bullets, customization_options=given_options), None, ())
    assert decode(encode(product)) == product
    assert json.loads(encode(product))
