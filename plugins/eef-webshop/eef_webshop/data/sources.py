"""Finds and reads the official files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eef_framework.errors import ConfigError, CorruptFile
from eef_webshop.data.manifest import Source
from eef_webshop.data.reading import read_at
from eef_webshop.data.stream import JsonStream

PRODUCTS = "items_shuffle"
EXTRAS = "items_ins_v2"
HUMAN = "items_human_ins"

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Sources:
    """Paths of the three official files.

    Attributes:
        products: `items_shuffle*.json`.
        extras: `items_ins_v2*.json`.
        human: `items_human_ins.json`.
    """

    products: Path
    extras: Path
    human: Path

    @classmethod
    def find(cls, given: Path) -> Sources:
        """Find the files that belong together.

        Args:
            given: a folder with one file `items_shuffle*.json` or `.json.gz`, or that file itself.

        Raises:
            ConfigError: a file is missing, or the folder has several that match.
        """
        products = _only(given) if given.is_dir() else given
        if not products.is_file():
            raise ConfigError(
                f"there is no {str(given)!r}",
                "Name the folder with the official files, or get them: eef webshop download.",
                code="no-such-file",
                path=str(given),
            )
        variant = products.name.removesuffix(".gz").removesuffix(".json").removeprefix(PRODUCTS)
        return cls(products, _companion(products, EXTRAS + variant), _companion(products, HUMAN))


def _only(folder: Path) -> Path:
    found = sorted(path for path in folder.glob(f"{PRODUCTS}*") if path.name.endswith((".json", ".json.gz")))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise ConfigError(
            f"{str(folder)!r} has several files of products: {names}",
            "Name the one to prepare instead of the folder.",
            code="ambiguous-products",
            path=str(folder),
            found=[path.name for path in found],
        )
    raise ConfigError(
        f"{str(folder)!r} has no {PRODUCTS}*.json or {PRODUCTS}*.json.gz",
        "Get the official files: eef webshop download.",
        code="no-official-file",
        path=str(folder),
        file=PRODUCTS,
    )


def _companion(products: Path, name: str) -> Path:
    for ending in (".json", ".json.gz"):
        if (path := products.parent / (name + ending)).is_file():
            return path
    raise ConfigError(
        f"{products.name} needs {name}.json or {name}.json.gz in the same folder; {str(products.parent)!r} has neither",
        "Get the official files: eef webshop download.",
        code="no-official-file",
        path=str(products.parent),
        file=name,
    )


class Extras:
    """The entries of `items_ins_v2*.json` by ASIN, stored in a temporary file because there are over a million.

    Args:
        path: the official file.
        staging: folder for the temporary file.
        progress: called with the number of bytes read since the last call.

    Raises:
        CorruptFile: the file is damaged.
    """

    def __init__(self, path: Path, staging: Path, progress: Advance) -> None:
        self._file = tempfile.TemporaryFile(dir=staging)  # noqa: SIM115 (open for as long as this object)
        self._places: dict[str, tuple[int, int]] = {}
        stream = JsonStream(path, progress)
        at = 0
        for asin, entry in stream.members():
            at += self._keep(asin, entry, at)
        self._file.flush()
        self.source = source_of(stream)

    def _keep(self, asin: str, entry: Any, at: int) -> int:
        record = json.dumps(entry).encode("ascii")
        self._places[asin] = (at, len(record))
        return self._file.write(record)

    def get(self, asin: str) -> Any:
        """Return the entry of a product, or None."""
        if asin not in self._places:
            return None
        start, size = self._places[asin]
        return json.loads(read_at(self._file.fileno(), size, start))

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()


def read_human(path: Path, progress: Advance) -> tuple[dict[str, Sequence[Mapping[str, Any]]], Source]:
    """Read `items_human_ins.json`: human instructions by ASIN.

    Args:
        path: the file.
        progress: called with the number of bytes read since the last call.

    Raises:
        CorruptFile: the file is damaged, or an entry has another format.
    """
    stream = JsonStream(path, progress)
    found = dict(stream.members())
    for asin, entries in found.items():
        if not isinstance(entries, list) or not all(_is_instruction(entry) for entry in entries):
            raise CorruptFile(
                f"{str(path)!r}: the entry {asin!r} isn't a list of records with instruction, "
                "instruction_attributes and instruction_options",
                "Download the file again: eef webshop download.",
                code="bad-instructions",
                path=str(path),
                asin=asin,
            )
    return found, source_of(stream)


def _is_instruction(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("instruction"), str)
        and isinstance(entry.get("instruction_attributes"), list)
        and isinstance(entry.get("instruction_options"), list)
    )


def source_of(stream: JsonStream) -> Source:
    """Return the description of a file that was read to its end."""
    return Source(name=stream.path.name, size=stream.size, sha256=stream.sha256)
