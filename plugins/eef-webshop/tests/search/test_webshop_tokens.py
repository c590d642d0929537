from __future__ import annotations

import pytest
from eef_webshop.search import tokens
from eef_webshop.search.analysis import analyse
from eef_webshop.search.tokens import MAX_LENGTH, tokenize, unicode_pattern
from hypothesis import given
from hypothesis import strategies as st

SIGNS = "ab1_'.,:;-\"#* \u200d\ufe0f\u20e3\u0301❤★👍👨💼🏽🇩🇪™日本カナひ한국อ\u00ad’：é"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Solid, reclaimed-wood table", ["Solid", "reclaimed", "wood", "table"]),
        ("finish:wood size: s", ["finish:wood", "size", "s"]),
        ("3.5 1,000;2 39.37'' a.b a. 1.a", ["3.5", "1,000;2", "39.37", "a.b", "a", "1", "a"]),
        ("don't it’s rock'n'roll 'quoted'", ["don't", "it’s", "rock'n'roll", "quoted"]),
        ("snake_case _x __ a__b_", ["snake_case", "_x", "a__b_"]),
        ("❤❤✿★✿☞size ✔️ ➤ ◆", ["❤", "❤", "★", "☞", "size", "✔️"]),
        ("a© ®b ™", ["a", "©", "®", "b", "™"]),
        ("👨\u200d💼 👍🏽 🇩🇪🇫🇷", ["👨\u200d💼", "👍🏽", "🇩🇪", "🇫🇷"]),
        ("#️⃣ # 1️⃣", ["#️⃣", "1️⃣"]),
        ("日本 ひら カタカナ 한국어", ["日", "本", "ひ", "ら", "カタカナ", "한국어"]),
        ("ภาษาไทย", ["ภาษาไทย"]),
        ("note：please 0.5~1.5 360º 1⁄2 5ω", ["note：please", "0.5", "1.5", "360º", "1⁄2", "5ω"]),
        ("de\u0301cor co\u00adop", ["de\u0301cor", "co\u00adop"]),
        ("", []),
        ("\u200d \u0301 ️", []),
    ],
)
def test_texts_are_cut_as_lucene_cuts_them(text, expected):
    assert tokenize(text) == expected


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_the_fast_pattern_for_ascii_finds_what_the_general_one_finds(text):
    assert tokens._ASCII.findall(text) == unicode_pattern().findall(text)


@given(st.text(alphabet=SIGNS) | st.text())
def test_no_token_is_empty_and_all_stand_in_the_text_in_their_order(text):
    at = 0
    for token in tokenize(text):
        assert 0 < len(token) <= MAX_LENGTH
        at = text.index(token, at) + len(token)


@given(st.lists(st.text(alphabet=SIGNS) | st.text(), max_size=4))
def test_no_token_spans_a_space(parts):
    assert tokenize(" ".join(parts)) == [token for part in parts for token in tokenize(part)]


@given(st.text(alphabet="ab1_.", min_size=250, max_size=800))
def test_long_tokens_are_cut_and_nothing_of_them_is_lost(text):
    plain = tokens._ASCII.findall(text)
    assert "".join(tokenize(text)) == "".join(plain)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "part", ["_", "a_", "'", "a:", "_\u0301", "\u0301", "é_", "_é:", "日", "1,", "❤\u200d", "é_日"]
)
def test_long_strange_texts_take_no_more_time_than_their_length_needs(part):
    assert len(tokenize(part * 20_000)) <= 40_000


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The women's Shoes", ["women", "shoe"]),
        ("WOMEN’S it's with", ["women"]),
        ("Technology isn't for the dogs'", ["technolog", "isn't", "dog"]),
        ("black black", ["black", "black"]),
    ],
)
def test_terms_have_no_case_possessive_stop_word_or_ending(text, terms):
    assert analyse(text) == terms


@given(st.text())
def test_any_text_can_be_analysed(text):
    assert all(isinstance(term, str) for term in analyse(text))


@given(st.text(alphabet="abcs' '’S", max_size=120))
def test_cached_terms_equal_computed_ones(text):
    from eef_webshop.search.analysis import _terms

    assert analyse(text) == list(_terms(text.lower()))
