"""What a store is: its version, what it was made of, what was left out."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eef_framework.errors import CorruptFile, EefError, storage

FORMAT = 1
"""Version of the store's layout, raised whenever another version's reader would misread it."""
FILE = "manifest.json"

AGAIN = "Prepare it again: eef webshop prepare FOLDER --out STORE."


class StoreError(EefError):
    """A store of products that is missing, incomplete, or of another version."""


class Source(BaseModel):
    """One of the official files, as it was read."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Its name, without folders."""
    size: int
    """Bytes, decompressed."""
    sha256: str
    """Of the decompressed content."""


class Skipped(BaseModel):
    """Records that were left out for the same reason."""

    reason: str
    count: int = 0
    examples: list[str] = Field(default_factory=list)
    """The first few, by ASIN, name or place in the file."""


class Manifest(BaseModel):
    """The contents of `manifest.json`, which is written last."""

    format: int = FORMAT
    products: int
    sources: list[Source]
    skipped: list[Skipped]
    tagger: str
    """Name and version of the spaCy model that found the nouns, or `none`."""
    human_instructions: int
    """Human instructions that belong to a product of the store."""
    files: dict[str, int]
    """Bytes of every other file of the store."""

    @property
    def fingerprint(self) -> str:
        """A short hash of what the products were made of: equal stores have equal ones on any host."""
        parts = [str(self.format), self.tagger, *(source.sha256 for source in self.sources)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into a store."""
    (folder / FILE).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read a store's manifest and check that all its files are there, in full.

    Raises:
        StoreError: there is no store, it is incomplete, or of another version.
        CorruptFile: the manifest can't be understood.
    """
    path = folder / FILE
    if not path.is_file():
        raise StoreError(
            f"there is no prepared WebShop in {str(folder)!r}: {FILE} is missing",
            AGAIN,
            code="no-store",
            path=str(folder),
        )
    with storage(path, "reading"):
        text = path.read_text(encoding="utf-8", errors="replace")
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as cause:
        raise CorruptFile(f"{str(path)!r} is no manifest of a store: {cause.errors()[0]['msg']}", AGAIN) from cause
    if manifest.format != FORMAT:
        raise StoreError(
            f"the store {str(folder)!r} has format {manifest.format}; this eef-webshop reads format {FORMAT}",
            AGAIN,
            code="other-store-version",
            path=str(folder),
            format=manifest.format,
        )
    _check_files(folder, manifest)
    return manifest


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name, size in manifest.files.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            state = "is missing" if found is None else f"has {found:,} bytes instead of {size:,}"
            raise StoreError(
                f"the store {str(folder)!r} is incomplete: {name} {state}",
                AGAIN,
                code="incomplete-store",
                path=str(path),
            )
