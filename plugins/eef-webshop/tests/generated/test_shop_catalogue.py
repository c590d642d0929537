from __future__ import annotations

import itertools

from eef_webshop.generated.catalogue import CATEGORIES, COLORS, FEATURES, PRICES, SIZES, STYLES, generate
from eef_webshop.generated.search import RESULTS, SearchEngine
from eef_webshop.reward import is_similar


def test_the_same_seed_gives_the_same_products_and_another_one_others():
    assert generate(50, 1) == generate(50, 1)
    assert generate(50, 1) != generate(50, 2)


def test_a_larger_catalogue_begins_with_a_smaller_one():
    assert generate(80, 3)[:50] == generate(50, 3)


def test_products_spread_evenly_over_categories_and_have_numbers_of_their_own():
    products = generate(300, 233)
    assert all(sum(p.category == category for p in products) == 30 for category in CATEGORIES)
    assert len({p.asin for p in products}) == 300


def test_no_two_words_of_the_vocabulary_are_similar_in_the_reward():
    words = (*CATEGORIES, *STYLES, *FEATURES, *COLORS, *SIZES)
    assert len(set(words)) == len(words)
    assert not [pair for pair in itertools.combinations(words, 2) if is_similar(*pair)]


def test_prices_ascend():
    assert sorted(set(PRICES)) == list(PRICES)


def test_a_query_with_a_category_finds_the_whole_category_and_nothing_else():
    engine = SearchEngine(generate(300, 233))
    found = engine.search("lamp soft")
    assert sorted(found) == [i for i, p in enumerate(engine.products) if p.category == "lamp"]


def test_a_matching_style_moves_a_product_up_and_popularity_decides_otherwise():
    engine = SearchEngine(generate(300, 233))
    plain, styled = engine.search("lamp"), engine.search("lamp soft")
    popularity = [engine.products[i].popularity for i in plain]
    assert popularity == sorted(popularity, reverse=True)
    soft = [i for i in plain if engine.products[i].style == "soft"]
    assert soft
    assert all(styled.index(i) <= plain.index(i) for i in soft)


def test_a_query_by_style_finds_products_of_all_categories_up_to_the_limit():
    engine = SearchEngine(generate(600, 233))
    found = engine.search("SOFT, please")
    assert len(found) == RESULTS
    assert {engine.products[i].style for i in found} == {"soft"}


def test_a_query_without_a_known_word_finds_nothing():
    assert SearchEngine(generate(50, 1)).search("lamps waterproof") == ()


def test_word_order_and_repetition_in_a_query_do_not_matter():
    engine = SearchEngine(generate(300, 233))
    assert engine.search("soft lamp lamp") == engine.search("lamp soft")
