"""Parts of the library gguf that may change: how a setting is read, and the sizes of types."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def setting(path: Path, key: str) -> Any:
    """Return a setting of a GGUF file, such as `tokenizer.ggml.pre`; None if it is missing."""
    from gguf import GGUFReader

    found = GGUFReader(path).get_field(key)
    return None if found is None else found.contents()


def block_sizes() -> dict[int, tuple[int, int]]:
    """Return the number of weights in a block, and its size in bytes, by the number of a type of weights."""
    from gguf import GGML_QUANT_SIZES

    return {int(each): size for each, size in GGML_QUANT_SIZES.items()}
