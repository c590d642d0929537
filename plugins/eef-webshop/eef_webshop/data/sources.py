"""The official files of a WebShop folder, and what they say about a product besides its own record."""

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
    """Where the three official files are."""

    products: Path
    extras: Path
    human: Path

    @classmethod
    def find(cls, given: Path) -> Sources:
        """Find the files that belong together.

        Args:
            given: a folder with one file `items_shuffle*.json` or `.json.gz`, or that file itself.

        Raises:
            ConfigError: a file is missing, or it isn't clear which is meant.
        """
        products = _only(given) if given.is_dir() else given
        if not products.is_file():
            raise ConfigError(
                f"there is no {str(given)!r}",
                "Name the folder with the official files, or get them: eef webshop download.",
            )
        variant = products.name.removesuffix(".gz").removesuffix(".json").removeprefix(PRODUCTS)
        return cls(products, _beside(products, EXTRAS + variant), _beside(products, HUMAN))


def _only(folder: Path) -> Path:
    found = sorted(path for path in folder.glob(f"{PRODUCTS}*") if path.name.endswith((".json", ".json.gz")))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise ConfigError(
            f"{str(folder)!r} holds several files of products: {names}",
            "Name the one to prepare instead of the folder.",
        )
    raise ConfigError(
        f"{str(folder)!r} holds no {PRODUCTS}*.json or {PRODUCTS}*.json.gz",
        "Get the official files: eef webshop download.",
    )


def _beside(products: Path, name: str) -> Path:
    for ending in (".json", ".json.gz"):
        if (path := products.parent / (name + ending)).is_file():
            return path
    raise ConfigError(
        f"{products.name} needs {name}.json or {name}.json.gz beside it, and {str(products.parent)!r} has neither",
        "Get the official files: eef webshop download.",
    )


class Extras:
    """The entries of `items_ins_v2*.json` by ASIN, kept in a temporary file: there are over a million."""

    def __init__(self, path: Path, scratch: Path, progress: Advance) -> None:
        self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 (open for as long as this object)
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
    """Read `items_human_ins.json`: the instructions people wrote, by ASIN.

    Raises:
        CorruptFile: it holds something else.
    """
    stream = JsonStream(path, progress)
    found = dict(stream.members())
    for asin, entries in found.items():
        if not isinstance(entries, list) or not all(_is_instruction(entry) for entry in entries):
            raise CorruptFile(
                f"{str(path)!r}: the entry {asin!r} is no list of records with instruction, instruction_attributes and "
                "instruction_options",
                "Fetch the file again: eef webshop download.",
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
    """Describe a file that was read to its end."""
    return Source(name=stream.path.name, size=stream.size, sha256=stream.sha256)
