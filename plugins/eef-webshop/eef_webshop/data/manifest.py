"""The manifest of a store: its version, its sources, and the records that were skipped."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eef_framework.errors import CorruptFile, EefError, storage

FORMAT = 1
"""Version of the store's layout, incremented by every incompatible change."""
FILE = "manifest.json"
"""Name of the manifest's file."""

PREPARE_AGAIN = "Prepare it again: eef webshop prepare FOLDER --out STORE."


class StoreError(EefError):
    """A store of products that is missing, incomplete, or of another version."""


class Source(BaseModel):
    """One of the official files, as it was read."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Its file name."""
    size: int
    """Size in bytes, decompressed."""
    sha256: str
    """SHA-256 of the decompressed content."""


class Skipped(BaseModel):
    """Records that were skipped for the same reason."""

    reason: str
    """The reason."""
    count: int = 0
    """Number of records."""
    examples: list[str] = Field(default_factory=list)
    """The first few, by position in the file, ASIN and name."""


class Manifest(BaseModel):
    """The contents of `manifest.json`, which is written last."""

    format: int = FORMAT
    """Version of the layout."""
    products: int
    """Number of products."""
    sources: list[Source]
    """The official files that it was made from."""
    skipped: list[Skipped]
    """The records that were skipped, by reason."""
    tagger: str
    """Name and version of the spaCy model that tagged the names, or `none`."""
    human_instructions: int
    """Number of human instructions for products of the store."""
    files: dict[str, int]
    """Sizes of all other files of the store in bytes, by name."""

    @property
    def fingerprint(self) -> str:
        """A short hash of the sources; it is the same for equal stores on any host."""
        parts = [str(self.format), self.tagger, *(source.sha256 for source in self.sources)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into a store."""
    (folder / FILE).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read a store's manifest and check that all files exist and have the right size.

    Raises:
        StoreError: there is no store, or it is incomplete or of another version.
        CorruptFile: the manifest can't be parsed.
    """
    path = folder / FILE
    if not path.is_file():
        raise StoreError(
            f"there is no prepared WebShop in {str(folder)!r}: {FILE} is missing",
            PREPARE_AGAIN,
            code="no-store",
            path=str(folder),
        )
    with storage(path, "reading"):
        text = path.read_text(encoding="utf-8", errors="replace")
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as cause:
        raise CorruptFile(
            f"{str(path)!r} isn't the manifest of a store: {cause.errors()[0]['msg']}",
            PREPARE_AGAIN,
            code="bad-manifest",
            path=str(path),
        ) from cause
    if manifest.format != FORMAT:
        raise StoreError(
            f"the store {str(folder)!r} has format {manifest.format}; this eef-webshop reads format {FORMAT}",
            PREPARE_AGAIN,
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
                PREPARE_AGAIN,
                code="incomplete-store",
                path=str(path),
            )
