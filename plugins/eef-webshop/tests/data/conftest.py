from __future__ import annotations

import json
from pathlib import Path

import pytest

REAL = Path(__file__).parents[5] / "shared" / "data" / "webshop-1k"


def product(asin: str = "B000000001", **changes: object) -> dict[str, object]:
    """Return an official record."""
    record = {
        "asin": asin,
        "category": "garden",
        "query": " Console Tables ",
        "product_category": "Home & Kitchen › Furniture › Tables",
        "name": f"Wooden Table {asin}",
        "full_description": "A table of solid wood.",
        "small_description": ["Solid wood", "Four legs"],
        "pricing": "$19.99 to $25.50",
        "customization_options": {"Color": [{"value": " Red/Blue ", "image": None}, {"value": "Green"}], "Size": None},
        "images": ["https://example.com/1.jpg"],
    }
    return {**record, **changes}


class Official:
    """A folder with official files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(
        self,
        products: object,
        extras: object | None = None,
        human: object | None = None,
        text: str | None = None,
    ) -> Path:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "items_shuffle_9.json").write_text(json.dumps(products) if text is None else text)
        (self.folder / "items_ins_v2_9.json").write_text(json.dumps(extras or {}))
        (self.folder / "items_human_ins.json").write_text(json.dumps(human or {}))
        return self.folder


@pytest.fixture(scope="session")
def record():
    return product


@pytest.fixture
def official(tmp_path: Path) -> Official:
    return Official(tmp_path / "official")


@pytest.fixture(scope="session")
def real() -> Path:
    if not REAL.is_dir():
        pytest.skip("the real products (../shared/data/webshop-1k) are not here")
    return REAL
