from __future__ import annotations

import pytest
from eef_webshop.search.stemmer import stem
from hypothesis import given
from hypothesis import strategies as st

PAPER = (
    "caresses caress ponies poni ties ti caress caress cats cat feed feed agreed agre plastered plaster bled bled "
    "motoring motor sing sing conflated conflat troubled troubl sized size hopping hop tanned tan falling fall "
    "hissing hiss fizzed fizz failing fail filing file happy happi sky sky relational relat conditional condit "
    "rational ration valenci valenc hesitanci hesit digitizer digit conformabli conform radicalli radic differentli "
    "differ vileli vile analogousli analog vietnamization vietnam predication predic operator oper feudalism feudal "
    "decisiveness decis hopefulness hope callousness callous formaliti formal sensitiviti sensit sensibiliti "
    "sensibl triplicate triplic formative form formalize formal electriciti electr electrical electr hopeful hope "
    "goodness good revival reviv allowance allow inference infer airliner airlin gyroscopic gyroscop adjustable "
    "adjust defensible defens irritant irrit replacement replac adjustment adjust dependent depend adoption adopt "
    "homologou homolog communism commun activate activ angulariti angular homologous homolog effective effect "
    "bowdlerize bowdler probate probat rate rate cease ceas controll control roll roll "
)
"""Word and stem in turn: the examples of Porter's paper, through all steps."""


@pytest.mark.parametrize(("word", "expected"), list(zip(PAPER.split()[::2], PAPER.split()[1::2], strict=True)))
def test_the_examples_of_the_paper_come_out(word, expected):
    assert stem(word) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("technology", "technolog"), ("possibly", "possibl"), ("as", "as"), ("is", "is"), ("s", "s"), ("ion", "ion")],
)
def test_martin_porter_s_own_extensions_apply(word, expected):
    assert stem(word) == expected


@pytest.mark.parametrize("word", ["3.5", "❤", "日", "b08gfnjn5r", "é"])
def test_what_is_not_an_english_word_stays(word):
    assert stem(word) == word


@given(st.text(max_size=40) | st.text(alphabet="aeilnosty", max_size=20))
def test_a_stem_is_never_much_longer_and_begins_like_the_word(word):
    found = stem(word)
    assert len(found) <= max(len(word), 2)
    assert found[:1] == word[:1]
