from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest
from eef_webshop.data import Catalogue, prepare
from eef_webshop.data.catalogue import break_ties
from eef_webshop.data.manifest import FILE, StoreError
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.errors import ConfigError, CorruptFile


def made(official, tmp_path, products, **rest):
    folder = official.write(products, **rest)
    return prepare(folder, tmp_path / "store", nouns="none"), tmp_path / "store"


@pytest.fixture
def store(official, tmp_path, record):
    products = [
        record(f"B00000000{digit}", name=f"Lamp {word}") for digit, word in ((3, "red"), (1, "red"), (2, "blue"))
    ]
    extras = {"B000000001": {"attributes": ["bright"], "instruction": "Find", "instruction_attributes": ["bright"]}}
    human = {
        "B000000002": [{"instruction": "a lamp", "instruction_attributes": ["bright"], "instruction_options": []}],
        "B999999999": [{"instruction": "not here", "instruction_attributes": [], "instruction_options": []}],
    }
    return made(official, tmp_path, products, extras=extras, human=human)[1]


def test_products_come_back_in_the_official_order(store):
    catalogue = Catalogue.open(store)
    assert len(catalogue) == 3
    assert [catalogue.product(index).asin for index in range(3)] == ["B000000003", "B000000001", "B000000002"]
    assert [catalogue.asin(index) for index in range(3)] == ["B000000003", "B000000001", "B000000002"]
    assert catalogue.product(1).attributes == ("bright",)


def test_products_are_found_by_their_asin(store):
    catalogue = Catalogue.open(store)
    assert [catalogue.index_of(f"B00000000{digit}") for digit in range(5)] == [None, 1, 2, 0, None]
    assert [catalogue.index_of(asin) for asin in ("", "B", "é", "B000000001\0", "B000000001 ", "Z" * 99)] == [None] * 6


def test_the_search_orders_equal_products_by_asin(store):
    catalogue = Catalogue.open(store)
    assert catalogue.search("red lamp")[:2] == (1, 0)
    (_, first), (_, second), *_ = catalogue.ranked("red lamp")
    assert second == pytest.approx(first - 1e-6, abs=1e-9)


def test_what_goals_need_of_all_products_is_there_without_reading_them(store, monkeypatch):
    catalogue = Catalogue.open(store)
    monkeypatch.setattr(os, "pread", lambda *_: pytest.fail("a product was read"))
    assert catalogue.instructed.tolist() == [2]
    assert catalogue.synthetic.tolist() == [1]
    assert catalogue.pricing.tolist() == [[19.99, 25.5]] * 3
    assert catalogue.manifest.human_instructions == 1


@pytest.mark.parametrize("index", [-1, 3, 10**9])
def test_there_are_no_products_outside(store, index):
    with pytest.raises(IndexError):
        Catalogue.open(store).product(index)


def test_the_reference_s_rules_and_broken_records_are_counted_and_named(official, tmp_path, record):
    products = [
        record("B000000001"),
        record("B000000001", name="the second one"),
        record("nan"),
        record("B0000000011"),
        *(record(f"C00000000{digit}", pricing="$99999999999") for digit in range(7)),
        {"asin": "B000000005"},
        17,
    ]
    summary, store = made(official, tmp_path, products)
    skipped = {entry.reason: entry for entry in summary.manifest.skipped}
    assert summary.manifest.products == 1
    assert {reason.split(" (")[0]: entry.count for reason, entry in skipped.items()} == {
        "an earlier product has the same ASIN": 1,
        "the ASIN is nan or longer than 10 characters": 2,
        "absurd price: over 1,000,000 dollars": 7,
        "key 'category' is missing": 1,
        "not a JSON object": 1,
    }
    absurd = skipped["absurd price: over 1,000,000 dollars"]
    assert absurd.examples[0] == "entry 5: C000000000 Wooden Table C000000000"
    assert len(absurd.examples) == 5
    assert Catalogue.open(store).manifest == summary.manifest


def test_a_broken_record_does_not_hide_a_later_good_one_of_the_same_asin(official, tmp_path, record):
    summary, _ = made(official, tmp_path, [record("B000000001", pricing="$"), record("B000000001")])
    assert summary.manifest.products == 1


def test_a_file_without_usable_products_is_an_error(official, tmp_path):
    with pytest.raises(CorruptFile) as caught:
        made(official, tmp_path, [{"asin": "B1"}])
    assert caught.value.code == "no-usable-product"
    assert list(tmp_path.iterdir()) == [official.folder]


def test_a_truncated_file_leaves_nothing_behind(official, tmp_path, record):
    text = json.dumps([record("B000000001"), record("B000000002")])[:-30]
    with pytest.raises(CorruptFile) as caught:
        made(official, tmp_path, None, text=text)
    assert (caught.value.code, caught.value.details["entry"]) == ("broken-json", 2)
    assert list(tmp_path.iterdir()) == [official.folder]


def test_a_store_is_not_overwritten_unless_asked(official, tmp_path, record, store):
    with pytest.raises(ConfigError) as caught:
        prepare(official.folder, store, nouns="none")
    assert caught.value.code == "output-exists"
    official.write([record("B000000009")])
    prepare(official.folder, store, nouns="none", overwrite=True)
    assert Catalogue.open(store).asin(0) == "B000000009"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["official", "store"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_only_a_store_is_ever_replaced(official, tmp_path, store, overwrite):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("mine")
    (mine / FILE).write_text("{}")
    (store / "index" / "notes.txt").write_text("mine, too")
    for output, found in ((mine, ["thesis.tex"]), (store, ["index/notes.txt"])):
        with pytest.raises(ConfigError) as caught:
            prepare(official.folder, output, nouns="none", overwrite=overwrite)
        assert caught.value.code == "not-ours"
        assert set(found) <= set(caught.value.details["found"])
    assert (mine / "thesis.tex").read_text() == "mine"
    assert (store / "index" / "notes.txt").read_text() == "mine, too"
    assert len(Catalogue.open(store)) == 3


FULL = """
import resource, signal, sys
from pathlib import Path
from eef_framework.errors import StorageError
from eef_webshop.data import prepare
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
try:
    prepare(Path(sys.argv[1]), Path(sys.argv[2]), nouns="none", jobs=1, overwrite=True)
except StorageError as error:
    print(error.code)
"""


def test_a_full_disk_keeps_the_store_that_was_there(official, tmp_path, store):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(official.folder), str(store)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "disk-full\n", done.stderr
    assert len(Catalogue.open(store)) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["official", "store"]


def test_the_fingerprint_tells_what_the_products_were_made_of(official, tmp_path, record):
    first, _ = made(official, tmp_path, [record("B000000001")])
    again = prepare(official.folder, tmp_path / "again", nouns="none")
    assert again.manifest.fingerprint == first.manifest.fingerprint
    official.write([record("B000000002")])
    other = prepare(official.folder, tmp_path / "other", nouns="none")
    assert other.manifest.fingerprint != first.manifest.fingerprint


def test_several_processes_make_the_same_store_as_one(official, tmp_path, record, monkeypatch):
    monkeypatch.setattr(import_module("eef_webshop.data.prepare"), "BATCH", 4)
    official.write([record(f"B{number:09}", name=f"Lamp number {number}") for number in range(30)])
    one = prepare(official.folder, tmp_path / "one", nouns="none", jobs=1)
    two = prepare(official.folder, tmp_path / "two", nouns="none", jobs=2)
    assert one.manifest == two.manifest
    for name in one.manifest.files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_no_store_is_explained(tmp_path):
    with pytest.raises(StoreError) as caught:
        Catalogue.open(tmp_path)
    assert (caught.value.code, caught.value.details["path"]) == ("no-store", str(tmp_path))


def test_a_missing_file_is_named(store):
    (store / "index" / "posting_docs.npy").unlink()
    with pytest.raises(StoreError) as caught:
        Catalogue.open(store)
    assert caught.value.code == "incomplete-store"
    assert caught.value.details["path"] == str(store / "index" / "posting_docs.npy")


def test_a_file_that_was_cut_off_is_named(store):
    os.truncate(store / "records.bin", 10)
    with pytest.raises(StoreError) as caught:
        Catalogue.open(store)
    assert (caught.value.code, caught.value.details["path"]) == ("incomplete-store", str(store / "records.bin"))


def test_another_format_is_refused(store):
    manifest = json.loads((store / FILE).read_text())
    (store / FILE).write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(StoreError) as caught:
        Catalogue.open(store)
    assert (caught.value.code, caught.value.details["format"]) == ("other-store-version", 99)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}'])
def test_a_broken_manifest_is_refused(store, text):
    (store / FILE).write_text(text)
    with pytest.raises(CorruptFile) as caught:
        Catalogue.open(store)
    assert caught.value.code == "bad-manifest"


def test_arrays_with_other_contents_are_refused(store):
    path = store / "record_ends.npy"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(CorruptFile) as caught:
        Catalogue.open(store)
    assert caught.value.code == "damaged-store"


def test_a_damaged_record_is_an_error_when_it_is_read(store):
    size = (store / "records.bin").stat().st_size
    (store / "records.bin").write_bytes(b"x" * size)
    with pytest.raises(CorruptFile) as caught:
        Catalogue.open(store).product(1)
    assert (caught.value.code, caught.value.details["record"]) == ("damaged-record", 1)


def test_a_catalogue_travels_to_other_processes_as_its_folder(store):
    catalogue = Catalogue.open(store)
    message = pickle.dumps(catalogue)
    assert len(message) < 1000
    assert pickle.loads(message).product(2) == catalogue.product(2)


def test_threads_share_a_catalogue(store):
    catalogue = Catalogue.open(store)
    barrier = threading.Barrier(8)

    def use(number: int) -> object:
        barrier.wait()
        return [(catalogue.product(index).asin, catalogue.search(f"red lamp {number % 2}")) for index in (0, 1, 2) * 30]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(use, range(8)))
    assert results[0::2] == [results[0]] * 4
    assert results[1::2] == [results[1]] * 4


def test_closing_twice_is_harmless_and_frees_the_file(store):
    catalogue = Catalogue.open(store)
    before = len(os.listdir("/proc/self/fd"))
    catalogue.close()
    catalogue.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1


@given(st.lists(st.floats(0, 50, width=32), max_size=60).map(lambda scores: sorted(scores, reverse=True)))
def test_adjusted_scores_keep_the_order_and_stay_near(scores):
    adjusted = break_ties(scores)
    assert all(abs(new - old) < 5e-5 + 1e-6 * len(scores) + 1e-9 for new, old in zip(adjusted, scores, strict=True))
    rounded = [round(score, 4) for score in scores]
    for place in range(1, len(scores)):
        if rounded[place] == rounded[place - 1]:
            assert adjusted[place] == pytest.approx(adjusted[place - 1] - 1e-6, abs=1e-12)
        else:
            assert adjusted[place] == rounded[place]


def test_the_real_products_are_all_kept(real, tmp_path):
    summary = prepare(real, tmp_path / "store", nouns="none")
    assert (summary.manifest.products, summary.manifest.skipped) == (1000, [])
    catalogue = Catalogue.open(tmp_path / "store")
    assert len(catalogue.synthetic) == 415
    assert catalogue.manifest.human_instructions == 13
    assert catalogue.index_of("B06Y3VLDFB") == 0
