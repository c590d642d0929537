"""Finds out whether files of weights are whole, from their headers."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from eef_framework.errors import ConfigError, storage
from eef_framework.models.inspection.files import DOWNLOAD_AGAIN, cut_off, incomplete, read_json

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Weight files, the preferred first. Each may be split into parts, listed in `NAME.index.json`."""


def check_weights(folder: Path) -> None:
    """Check whether a folder has all of a model's weights, each file of them whole.

    Raises:
        ConfigError: a file is missing or truncated.
    """
    for name in _WEIGHTS:
        if (folder / name).is_file():
            check_file(folder / name)
            return
        index = folder / f"{name}.index.json"
        if index.is_file():
            parts = sorted({str(part) for part in (read_json(index).get("weight_map") or {}).values()})
            if missing := [part for part in parts if not (folder / part).is_file()]:
                raise incomplete(folder, missing, f"{len(missing)} of {len(parts)} parts of its weights are missing")
            for part in parts:
                check_file(folder / part)
            return
    raise incomplete(folder, [_WEIGHTS[0]], "there are no weights in it")


def check_file(path: Path) -> None:
    """Check whether a file of weights is whole.

    Args:
        path: a file of safetensors, or one that torch pickled.

    Raises:
        ConfigError: it is truncated, or something else.
    """
    if path.suffix == ".safetensors":
        safetensors_header(path)
        return
    with storage(path, "reading"), path.open("rb") as file:
        start = file.read(2)
    if start == b"PK" and not zipfile.is_zipfile(path):
        raise cut_off(path, "its end is missing")
    if start not in (b"PK", b"\x80\x02"):
        raise ConfigError(
            f"{str(path)!r} isn't a file of weights", DOWNLOAD_AGAIN, code="model-unreadable", path=str(path)
        )


def safetensors_header(path: Path) -> dict[str, Any]:
    """Return the header of a safetensors file: tensor descriptions by name.

    Raises:
        ConfigError: the file is truncated, or something else.
    """
    with storage(path, "reading"), path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        head = file.read(min(length, size))
    if size < 8 or (length + 8 > size and head[:1] == b"{"):
        raise cut_off(path, f"it has {size} bytes")
    try:
        header = json.loads(head)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, AttributeError, TypeError, KeyError, IndexError) as cause:
        raise ConfigError(
            f"{str(path)!r} isn't a file of safetensors", DOWNLOAD_AGAIN, code="model-unreadable", path=str(path)
        ) from cause
    wanted = 8 + length + max(ends, default=0)
    if size < wanted:
        raise cut_off(path, f"it has {size} bytes of {wanted}")
    header.pop("__metadata__", None)
    return dict(header)
