"""Finds out whether a GGUF file, llama.cpp's format, can be loaded."""

from __future__ import annotations

import re
from pathlib import Path

from eef_framework._compat.transformers import reads_gguf
from eef_framework.errors import ConfigError, storage
from eef_framework.models.gguf_header import required_size
from eef_framework.models.inspection.files import cut_off
from eef_framework.models.inspection.git_lfs import check_pointer
from eef_framework.models.libraries import installed


def check_gguf(path: Path) -> None:
    """Check whether a file is a complete GGUF file.

    Raises:
        ConfigError: it is something else, cut off, one of several parts, or the library that reads it is missing.
    """
    check_pointer(path)
    with storage(path, "reading"), path.open("rb") as file:
        start = file.read(64)
    if start[:4] != b"GGUF":
        note = " (it looks like a web page)" if start.lstrip()[:1] == b"<" else ""
        weights = path.suffix in (".safetensors", ".bin", ".json")
        raise ConfigError(
            f"{str(path)!r} isn't a GGUF file{note}",
            "Give the folder that the file is in." if weights else "Download it again.",
            code="model-not-gguf",
            path=str(path),
        )
    if re.search(r"-\d{5}-of-\d{5}\.gguf$", path.name):
        raise ConfigError(
            f"{str(path)!r} is one of several parts of a model, which can't be read",
            "Join the parts (llama-gguf-split --merge), or use the model in the layout of transformers.",
            code="model-gguf-parts",
            path=str(path),
        )
    if not installed("gguf"):
        raise ConfigError(
            "GGUF files need the library gguf, which isn't installed",
            "pip install gguf",
            code="model-needs-library",
            path=str(path),
            packages=["gguf"],
        )
    architecture = _architecture(path)
    if architecture and not reads_gguf(architecture):
        raise ConfigError(
            f"the installed transformers can't read GGUF files of the architecture {architecture!r}",
            "Use the model in the layout of transformers (a folder with config.json), or another model.",
            code="model-gguf-architecture",
            path=str(path),
            architecture=architecture,
        )
    _check_size(path)


def _architecture(path: Path) -> str:
    """Return the architecture of a GGUF file, which is its first metadata entry; empty if it is missing."""
    with storage(path, "reading"), path.open("rb") as file:
        file.seek(24)  # magic, version, number of tensors, number of settings
        key = file.read(min(int.from_bytes(file.read(8), "little"), 64))
        kind = int.from_bytes(file.read(4), "little")
        value = file.read(min(int.from_bytes(file.read(8), "little"), 64))
    return value.decode(errors="replace") if (key, kind) == (b"general.architecture", 8) else ""


def _check_size(path: Path) -> None:
    try:
        with storage(path, "reading"):
            size, required = path.stat().st_size, required_size(path)
    except EOFError as cause:
        raise cut_off(path, str(cause)) from cause
    if size < required:
        raise cut_off(path, f"it has {size:,} bytes of {required:,}", size=size, required=required)
