from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from eef_webshop.data import Catalogue, prepare

REAL = Path(__file__).parents[5] / "shared" / "data" / "webshop-1k"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/webshop-1k is not here")


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    store = tmp_path_factory.mktemp("real") / "store"
    prepare(REAL, store, nouns="none")
    return Catalogue.open(store)


@pytest.fixture(scope="module")
def rankings():
    with gzip.open(REAL / "reference_rankings.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file)


def test_every_reference_ranking_is_reproduced_with_its_scores(catalogue, rankings):
    assert len(rankings) == 150
    for entry in rankings:
        found = catalogue.ranked(entry["query"])
        assert [catalogue.asin(index) for index, _ in found] == [asin for asin, _ in entry["hits"]]
        expected = [score for _, score in entry["hits"]]
        assert [score for _, score in found] == pytest.approx(expected, rel=1e-4)


def test_searching_again_gives_the_same_without_ranking_again(catalogue, rankings, monkeypatch):
    query = rankings[0]["query"]
    first = catalogue.search(query)
    monkeypatch.setattr(type(catalogue.index), "top", lambda *_: pytest.fail("ranked again"))
    assert catalogue.search(query) == first


def test_all_search_results_are_products(catalogue, rankings):
    found = catalogue.search(rankings[3]["query"])
    assert len(set(found)) == len(found) <= 50
    assert all(catalogue.product(index).asin == catalogue.asin(index) for index in found)
