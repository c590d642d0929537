"""Finds the products: a prepared store, or a folder with the official files, which is prepared once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from eef_framework.errors import ConfigError
from eef_framework.paths import cache_folder
from eef_framework.records import fingerprint
from eef_webshop.data.catalogue import Catalogue
from eef_webshop.data.manifest import FILE, FORMAT, read_manifest
from eef_webshop.data.nouns import tagger_package
from eef_webshop.data.prepare import prepare
from eef_webshop.data.sources import Sources

OFFICIAL: Final = ("items_shuffle*.json*", "items_ins_v2*.json*", "items_human_ins*.json*")
HOW_TO_PREPARE: Final = (
    "Get the products with `eef webshop download small`, prepare them with `eef webshop prepare FOLDER --out STORE`, "
    "and name the store (`--set environment.data=STORE`). The environment `shop` needs no data at all."
)


def open_catalogue(data: Path | None) -> Catalogue:
    """Open the store in a folder, or one prepared from the official files there.

    Raises:
        ConfigError: the folder has neither.
    """
    data, store, files = _find(data)
    return Catalogue.open(store or _prepared(data, files))


def check_products(data: Path | None) -> None:
    """Check that `open_catalogue` will work, without opening or preparing anything.

    Raises:
        ConfigError: there is neither a store nor a complete set of official files, or spaCy is missing.
        StoreError: the store is incomplete, or of another version.
        CorruptFile: its manifest can't be parsed.
    """
    data, store, files = _find(data)
    if store := store or _existing_store(_cached(data, files)):
        read_manifest(store)
    else:
        Sources.find(data)
        tagger_package()


def _find(data: Path | None) -> tuple[Path, Path | None, list[Path]]:
    """Return the folder, the store in it if there is one, and otherwise the official files."""
    if data is None:
        raise ConfigError(
            "the environment 'webshop' has no products: its setting `data` is not given", HOW_TO_PREPARE, code="no-data"
        )
    data = data.expanduser()
    for store in (data, data / "store"):  # the latter is where `eef webshop prepare` puts it
        if found := _existing_store(store):
            return data, found, []
    files = _official_files(data)
    if not files:
        state = "neither a prepared store nor the official files" if data.is_dir() else "no such folder"
        raise ConfigError(
            f"the environment 'webshop' needs products in {str(data)!r}: {state}",
            HOW_TO_PREPARE,
            code="no-products" if data.is_dir() else "no-such-folder",
            path=str(data),
        )
    return data, None, files


def _existing_store(store: Path) -> Path | None:
    return store if (store / FILE).is_file() else None


def _cached(data: Path, files: list[Path]) -> Path:
    """Return the path of the cached store of these files."""
    sizes = [f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in (data, *files)]
    return cache_folder() / "eef-webshop" / fingerprint("\n".join((f"format {FORMAT}", *sizes)))


def _official_files(data: Path) -> list[Path]:
    if data.is_file():
        return [data, *(path for pattern in OFFICIAL[1:] for path in sorted(data.parent.glob(pattern)))]
    return [path for pattern in OFFICIAL for path in sorted(data.glob(pattern))]


def _prepared(data: Path, files: list[Path]) -> Path:
    """Return the cached store of these files, which is prepared if it doesn't exist."""
    store = _cached(data, files)
    if (store / FILE).is_file():
        return store
    print(f"webshop: preparing the products in {data} once, into {store}", file=sys.stderr)
    try:
        prepare(data, store)
    except ConfigError:
        if not (store / FILE).is_file():  # otherwise another process was faster
            raise
    return store
