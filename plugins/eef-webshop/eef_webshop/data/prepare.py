"""Converts the official files to a store in bounded memory: cleans products, tags nouns, indexes texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from eef_framework.errors import ConfigError, CorruptFile, storage
from eef_webshop.data.cleaning import Unusable, clean
from eef_webshop.data.manifest import FILE, Manifest, Skipped, write_manifest
from eef_webshop.data.nouns import NONE, nouns_of, tagger_name
from eef_webshop.data.product import Product, encode, search_text
from eef_webshop.data.sources import Extras, Sources, read_human, source_of
from eef_webshop.data.staging import staging_folder
from eef_webshop.data.stream import JsonStream
from eef_webshop.data.workers import default_jobs, map_in_order

if TYPE_CHECKING:
    from eef_webshop.search.build import Counted

Progress = Callable[[str, int, int], None]
"""Called with the progress of reading a file: its name, bytes so far, total bytes."""

BATCH = 500
"""Number of products per batch."""
EXAMPLES = 5
"""Number of skipped records that are named for each reason."""
MAX_ASIN_LENGTH = 10
"""Maximum length of an ASIN, by the reference's rule."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Result of `prepare`."""

    folder: Path
    """The store."""
    manifest: Manifest
    """Its manifest."""
    seconds: float
    """Duration in seconds."""


@dataclass(frozen=True, slots=True)
class ProcessedBatch:
    """A batch of products, ready to be written."""

    products: Sequence[Product]
    """The products."""
    records: Sequence[bytes]
    """Their records in the store."""
    terms: Counted
    """The terms of their texts."""


def prepare(
    source: Path,
    output: Path,
    progress: Progress | None = None,
    *,
    nouns: Literal["spacy", "none"] = "spacy",
    jobs: int | None = None,
    overwrite: bool = False,
) -> Summary:
    """Convert the official files to a store for `Catalogue.open`. The store is written atomically.

    Args:
        source: a folder with `items_shuffle*.json`, `items_ins_v2*.json` and `items_human_ins.json`, plain or `.gz`;
            or the first of these files, if a folder has several.
        output: where the store is written.
        progress: called with the progress of each file.
        nouns: `none` omits the nouns of names, and needs no spaCy.
        jobs: number of processes that tag and index; by default the number of cores, or one for a small catalogue.
        overwrite: whether an existing store is replaced.

    Raises:
        ConfigError: files are missing, spaCy isn't installed, or the output exists.
        CorruptFile: a file is damaged; the message has the position.
        StorageError: reading or writing failed.
    """
    began = time.monotonic()
    files = Sources.find(Path(source))
    output = Path(output).absolute()
    _check_free(output, overwrite)
    tagger = tagger_name() if nouns == "spacy" else NONE
    jobs = default_jobs(files.products) if jobs is None else jobs
    with storage(output, "writing"), staging_folder(output) as staging:
        (staging / "store").mkdir()
        manifest = _write(files, staging / "store", tagger, jobs, progress or _silent)
        if output.exists():
            output.rename(staging / "old")
        (staging / "store").rename(output)
    return Summary(output, manifest, time.monotonic() - began)


def _write(files: Sources, folder: Path, tagger: str, jobs: int, progress: Progress) -> Manifest:
    from eef_webshop.data.writer import StoreWriter

    human, human_source = read_human(files.human, _counter(files.human, progress))
    extras = Extras(files.extras, folder, _counter(files.extras, progress))
    reader = _Reader(files.products, extras, human, progress)
    writer = StoreWriter(folder)
    digest = process_with_nouns if tagger != NONE else process_without_nouns
    try:
        for batch in map_in_order(digest, _batches(reader.products()), jobs):
            writer.add(batch.products, batch.records, batch.terms)
        if not len(writer):
            raise CorruptFile(
                f"{str(files.products)!r} has no usable product: {_counts(reader.skipped)}",
                "Check that it is one of the official files.",
                code="no-usable-product",
                path=str(files.products),
            )
    finally:
        extras.close()
        writer.close()
    manifest = Manifest(
        products=len(writer),
        sources=[source_of(reader.stream), extras.source, human_source],
        skipped=list(reader.skipped.values()),
        tagger=tagger,
        human_instructions=reader.human_instructions,
        files=writer.finish(),
    )
    write_manifest(folder, manifest)
    return manifest


@dataclass
class _Reader:
    """Reads products in order and records those that are skipped."""

    path: Path
    extras: Extras
    human: dict[str, Any]
    progress: Progress
    human_instructions: int = 0
    skipped: dict[str, Skipped] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stream = JsonStream(self.path, _counter(self.path, self.progress))
        self._seen: set[str] = set()

    def products(self) -> Iterator[Product]:
        """Yield the usable products, each ASIN once, as in the reference."""
        for record in self.stream.items():
            try:
                product = self._product(record)
            except Unusable as problem:
                self._skip(problem.reason, record)
            else:
                self._seen.add(product.asin)
                self.human_instructions += len(product.human_instructions)
                yield product

    def _product(self, record: Any) -> Product:
        asin = record.get("asin") if isinstance(record, dict) else None
        if isinstance(asin, str):
            if asin == "nan" or len(asin) > MAX_ASIN_LENGTH:
                raise Unusable(f"the ASIN is nan or longer than {MAX_ASIN_LENGTH} characters (the reference's rule)")
            if asin in self._seen:
                raise Unusable("an earlier product has the same ASIN (the reference's rule)")
        return clean(record, self.extras.get(asin or ""), self.human.get(asin or "", ()))

    def _skip(self, reason: str, record: Any) -> None:
        entry = self.skipped.setdefault(reason, Skipped(reason=reason))
        entry.count += 1
        if len(entry.examples) < EXAMPLES:
            names = (
                [record[key] for key in ("asin", "name") if isinstance(record.get(key), str)]
                if isinstance(record, dict)
                else []
            )
            entry.examples.append(" ".join((f"entry {self.stream.entries + 1}:", *names))[:100])


def process_with_nouns(products: Sequence[Product]) -> ProcessedBatch:
    """Tag, encode and index a batch."""
    tagged = [
        replace(product, nouns=frozenset(nouns), noun_count=len(nouns))
        for product, nouns in zip(products, nouns_of(product.name for product in products), strict=True)
    ]
    return process_without_nouns(tagged)


def process_without_nouns(products: Sequence[Product]) -> ProcessedBatch:
    """Encode and index a batch."""
    from eef_webshop.search.build import count

    return ProcessedBatch(products, [encode(product) for product in products], count(map(search_text, products)))


def _batches(products: Iterator[Product]) -> Iterator[list[Product]]:
    batch: list[Product] = []
    for product in products:
        batch.append(product)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _check_free(output: Path, overwrite: bool) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    foreign = _foreign_files(output) if output.is_dir() else [output.name]
    if foreign:
        raise ConfigError(
            f"{str(output)!r} has files that aren't part of a store: {', '.join(foreign[:5])}",
            "Choose another place with --out.",
            code="not-ours",
            path=str(output),
            found=foreign,
        )
    if not overwrite:
        raise ConfigError(
            f"{str(output)!r} exists already",
            "Choose another place with --out, or replace it with --overwrite.",
            code="output-exists",
            path=str(output),
        )


def _foreign_files(folder: Path) -> list[str]:
    """Return the files of a folder that don't belong to a store."""
    try:
        own = {FILE, *Manifest.model_validate_json((folder / FILE).read_bytes()).files}
    except (OSError, ValueError):
        own = set()
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in files if name not in own)


def _counter(path: Path, progress: Progress) -> Callable[[int], None]:
    """Return a function that sums up bytes and reports the sum."""
    total, done = path.stat().st_size, 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(path.name, done, total)

    return advance


def _counts(skipped: dict[str, Skipped]) -> str:
    return "; ".join(f"{entry.count:,} skipped: {entry.reason}" for entry in skipped.values()) or "it is empty"


def _silent(name: str, done: int, total: int) -> None:
    pass
