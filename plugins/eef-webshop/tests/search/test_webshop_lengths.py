from __future__ import annotations

import pytest
from eef_webshop.search.lengths import decode_length, encode_length
from hypothesis import given
from hypothesis import strategies as st

lengths = st.integers(0, 2**31 - 1) | st.integers(0, 5000)


@pytest.mark.parametrize("byte", range(256))
def test_a_byte_survives_decoding_and_encoding(byte):
    assert encode_length(decode_length(byte)) == byte


@pytest.mark.parametrize(
    ("length", "decoded"), [(0, 0), (39, 39), (40, 40), (41, 40), (42, 42), (55, 54), (56, 56), (59, 56), (100, 96)]
)
def test_known_lengths_are_kept_as_lucene_keeps_them(length, decoded):
    assert decode_length(encode_length(length)) == decoded


@given(lengths)
def test_a_length_is_rounded_down_by_less_than_an_eighth(length):
    decoded = decode_length(encode_length(length))
    assert decoded <= length < decoded + max(1, decoded / 8)


@given(lengths, lengths)
def test_longer_documents_never_get_a_smaller_byte(one, other):
    assert (encode_length(one) <= encode_length(other)) or one > other


@pytest.mark.parametrize("length", [-1, 2**31])
def test_impossible_lengths_are_refused(length):
    with pytest.raises(ValueError, match="from 0 to"):
        encode_length(length)
