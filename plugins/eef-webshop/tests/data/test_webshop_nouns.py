from __future__ import annotations

import gzip
import json
import sys

import pytest
from eef_webshop.data import Catalogue, nouns, prepare
from eef_webshop.data.nouns import NOUN_TAGS, PRONOUNS, nouns_of, tagger_name

from eef_framework.errors import ConfigError

EXCEPTIONS = ("Something", "nothing for everyone", "lamp\tfor\nanybody  at all", "", " ", "🌸🌸 lamp \ud83d")


@pytest.fixture(scope="module")
def model():
    spacy = pytest.importorskip("spacy", reason="spaCy is not installed")
    try:
        return spacy.load(nouns.tagger_package())
    except ConfigError:
        pytest.skip("the model en_core_web_sm is not installed")


def tagged(model, name):
    document = model(name.encode("utf-8", "replace").decode())
    return [token.text.lower() for token in document if token.pos_ in ("NOUN", "PROPN")]


def test_the_nouns_are_those_of_the_whole_model(model):
    names = [*EXCEPTIONS, "Wooden table with two drawers", "Women's T-Shirt 2 Pack, Blue/White"]
    assert nouns_of(names) == [tagged(model, name) for name in names]


@pytest.mark.slow
def test_the_nouns_of_all_real_names_are_those_of_the_whole_model(model, real):
    with gzip.open(real / "items_shuffle_1000.json.gz", "rt", encoding="utf-8") as file:
        names = [product["name"] for product in json.load(file)]
    assert nouns_of(names) == [tagged(model, name) for name in names]


def test_the_exceptions_are_those_of_the_model_s_rules(model):
    found = set()
    for rule in model.get_pipe("attribute_ruler").patterns:
        for pattern in rule["patterns"]:
            token = pattern[rule["index"]]
            if set(token) == {"TAG", "LOWER"} and str(token["TAG"]) in NOUN_TAGS and "POS" in rule["attrs"]:
                assert (token["TAG"], rule["attrs"]["POS"]) == ("NN", "PRON")
                found.add(token["LOWER"])
    assert found == PRONOUNS


def test_the_store_has_the_nouns_and_the_name_of_the_tagger(model, official, tmp_path, record):
    official.write([record(name="A table with table legs")])
    summary = prepare(official.folder, tmp_path / "store")
    product = Catalogue.open(tmp_path / "store").product(0)
    assert product.nouns == {"table", "legs"}
    assert product.noun_count == 3
    assert summary.manifest.tagger == tagger_name()
    assert summary.manifest.tagger.startswith("en_core_web_sm 3.")


def test_without_spacy_preparation_says_what_to_install(official, tmp_path, record, monkeypatch):
    monkeypatch.setattr(nouns, "find_spec", lambda name: None)
    official.write([record()])
    with pytest.raises(ConfigError) as caught:
        prepare(official.folder, tmp_path / "store")
    assert caught.value.code == "tagger-missing"
    assert "eef-webshop[prepare]" in caught.value.fix


def test_without_nouns_spacy_is_not_needed(official, tmp_path, record, monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    official.write([record()])
    summary = prepare(official.folder, tmp_path / "store", nouns="none")
    assert summary.manifest.tagger == "none"
    product = Catalogue.open(tmp_path / "store").product(0)
    assert (product.nouns, product.noun_count) == (frozenset(), 0)
