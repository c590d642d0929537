from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from eef_webshop.search.analysis import analyse
from eef_webshop.search.build import IndexBuilder, count
from eef_webshop.search.index import Index
from eef_webshop.search.lengths import decode_length, encode_length
from hypothesis import given, settings
from hypothesis import strategies as st

WORDS = [f"w{number}x" for number in range(40)]


def built(folder: Path, texts, batch=7, block=10**6, precedence=None):
    builder = IndexBuilder(folder, block=block)
    for start in range(0, len(texts), batch):
        builder.add(count(texts[start : start + batch]))
    builder.finish()
    order = np.arange(len(texts)) if precedence is None else np.array(precedence)
    return Index(folder, order.astype(np.int32))


def plain_scores(texts, query):
    """Return BM25 scores by the textbook, in double precision."""
    documents = [Counter(analyse(text)) for text in texts]
    sizes = [sum(document.values()) for document in documents]
    filled = sum(size > 0 for size in sizes)
    average = sum(sizes) / max(filled, 1)
    scores = [0.0] * len(texts)
    for term, boost in Counter(analyse(query)).items():
        frequency = sum(term in document for document in documents)
        if not frequency:
            continue
        weight = boost * math.log(1 + (filled - frequency + 0.5) / (frequency + 0.5))
        for number, document in enumerate(documents):
            if term in document:
                length = decode_length(encode_length(sizes[number]))
                saturated = document[term] / (document[term] + 0.9 * (0.6 + 0.4 * length / average))
                scores[number] += weight * saturated
    return scores


def random_texts(draw, documents, skewed=True):
    weights = [1 / (rank + 1) if skewed else 1 for rank in range(len(WORDS))]
    return [" ".join(draw.choices(WORDS, weights, k=draw.randrange(0, 30))) for _ in range(documents)]


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), documents=st.integers(1, 60))
def test_scores_are_those_of_the_textbook(tmp_path_factory, seed, documents):
    draw = random.Random(seed)
    texts = random_texts(draw, documents)
    index = built(tmp_path_factory.mktemp("index"), texts)
    query = " ".join(draw.choices(WORDS, k=4))
    assert index.scores(query).tolist() == pytest.approx(plain_scores(texts, query), rel=1e-5, abs=1e-6)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), documents=st.integers(1, 400), wanted=st.integers(1, 20), length=st.integers(1, 10))
def test_the_top_is_that_of_an_exhaustive_ranking(tmp_path_factory, seed, documents, wanted, length):
    draw = random.Random(seed)
    precedence = draw.sample(range(documents), documents)
    texts = random_texts(draw, documents)
    index = built(tmp_path_factory.mktemp("index"), texts, batch=50, precedence=precedence)
    query = " ".join(draw.choices(WORDS, k=length))
    scores = index.scores(query)
    order = [number for number in np.lexsort((precedence, -scores)).tolist() if scores[number] > 0][:wanted]
    found, reached = index.top(query, wanted)
    assert found.tolist() == order
    assert reached.tolist() == scores[order].tolist()


def test_terms_are_left_out_early_where_they_cannot_matter(tmp_path, monkeypatch):
    draw = random.Random(5)
    texts = [
        "rare gem common common" if number < 20 else " ".join(["common"] * draw.randrange(1, 9))
        for number in range(5000)
    ]
    index = built(tmp_path, texts, batch=1000)
    looked_up = []
    from eef_webshop.search.topk import Accumulator

    original = Accumulator._look_up
    monkeypatch.setattr(
        Accumulator, "_look_up", lambda self, docs, term: (looked_up.append(len(docs)), original(self, docs, term))
    )
    found, _ = index.top("rare gem common", 10)
    assert set(found.tolist()) <= set(range(20))
    assert looked_up
    assert max(looked_up) <= 20


@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_spilling_in_any_blocks_makes_the_same_index(tmp_path, block):
    texts = random_texts(random.Random(1), 100)
    (tmp_path / "one").mkdir()
    (tmp_path / "blocks").mkdir()
    built(tmp_path / "one", texts, batch=100)
    built(tmp_path / "blocks", texts, batch=9, block=block)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "blocks").iterdir())
    for query in ("w0x w1x", "w5x w17x w0x"):
        one, other = (Index(tmp_path / name, np.arange(100, dtype=np.int32)) for name in ("one", "blocks"))
        assert one.scores(query).tolist() == other.scores(query).tolist()


def test_equal_scores_go_by_precedence_also_at_the_cut(tmp_path):
    precedence = list(reversed(range(30)))
    index = built(tmp_path, ["same words here"] * 30, precedence=precedence)
    found, _ = index.top("same", 5)
    assert found.tolist() == [29, 28, 27, 26, 25]


def test_repeated_query_words_count_repeatedly(tmp_path):
    index = built(tmp_path, ["red lamp", "blue lamp", "green chair"])
    once, twice = index.scores("red"), index.scores("red red")
    assert twice[0] == pytest.approx(2 * once[0], rel=1e-6)


@pytest.mark.parametrize("query", ["", "the of", "zebra", "❤", "\0"])
def test_queries_without_known_words_find_nothing(tmp_path, query):
    index = built(tmp_path, ["red lamp", "", "blue"])
    docs, scores = index.top(query)
    assert (len(docs), len(scores)) == (0, 0)


def test_words_are_found_whatever_their_bytes(tmp_path):
    words = ["é", "日", "❤", "zz", "a1", "\ud800b"]
    index = built(tmp_path, words)
    for number, word in enumerate(words):
        assert index.top(word)[0].tolist() == ([number] if analyse(word) else [])


def test_documents_without_any_term_do_not_count_towards_the_averages(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    texts = ["red lamp", "blue lamp shade"]
    without = built(tmp_path / "a", texts)
    with_empty = built(tmp_path / "b", [*texts, "", "the"])
    assert with_empty.scores("lamp")[:2].tolist() == without.scores("lamp").tolist()
