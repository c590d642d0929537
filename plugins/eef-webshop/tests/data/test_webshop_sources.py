from __future__ import annotations

import gzip
import json

import pytest
from eef_webshop.data.sources import Extras, Sources, read_human

from eef_framework.errors import ConfigError, CorruptFile


def test_files_of_the_same_variant_are_found_together(tmp_path):
    for name in ("items_shuffle.json.gz", "items_ins_v2.json", "items_ins_v2_1000.json", "items_human_ins.json.gz"):
        (tmp_path / name).touch()
    found = Sources.find(tmp_path)
    assert found.products.name == "items_shuffle.json.gz"
    assert found.extras.name == "items_ins_v2.json"
    assert found.human.name == "items_human_ins.json.gz"


def test_the_file_of_products_can_be_named_where_there_are_several(tmp_path):
    for name in ("items_shuffle.json", "items_shuffle_1000.json", "items_ins_v2_1000.json", "items_human_ins.json"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as caught:
        Sources.find(tmp_path)
    assert caught.value.code == "ambiguous-products"
    assert caught.value.details["found"] == ["items_shuffle.json", "items_shuffle_1000.json"]
    assert Sources.find(tmp_path / "items_shuffle_1000.json").extras.name == "items_ins_v2_1000.json"


@pytest.mark.parametrize("missing", ["items_shuffle.json", "items_ins_v2.json", "items_human_ins.json"])
def test_a_missing_file_is_named(tmp_path, missing):
    for name in {"items_shuffle.json", "items_ins_v2.json", "items_human_ins.json"} - {missing}:
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as caught:
        Sources.find(tmp_path)
    assert (caught.value.code, caught.value.details["file"]) == ("no-official-file", missing.removesuffix(".json"))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ConfigError) as caught:
        Sources.find(tmp_path / "nowhere")
    assert (caught.value.code, caught.value.details["path"]) == ("no-such-file", str(tmp_path / "nowhere"))


def test_extras_are_looked_up_by_asin_and_the_last_of_equal_keys_counts(tmp_path):
    (tmp_path / "e.json").write_text('{"A": {"attributes": ["ü"]}, "B": 3, "A": {"attributes": ["last"]}}')
    extras = Extras(tmp_path / "e.json", tmp_path, lambda count: None)
    assert extras.get("A") == {"attributes": ["last"]}
    assert extras.get("B") == 3
    assert extras.get("C") is None
    extras.close()
    assert [path.name for path in tmp_path.iterdir()] == ["e.json"]


@pytest.mark.parametrize(
    "entries", [3, [3], [{"instruction": "x"}], [{"instruction": 1, "instruction_attributes": []}]]
)
def test_human_instructions_of_another_shape_are_refused(tmp_path, entries):
    with gzip.open(tmp_path / "h.json.gz", "wt") as file:
        json.dump({"A": entries}, file)
    with pytest.raises(CorruptFile) as caught:
        read_human(tmp_path / "h.json.gz", lambda count: None)
    assert (caught.value.code, caught.value.details["asin"]) == ("bad-instructions", "A")
