"""Opening models of transformers, quietly and with errors that say what to do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from eef_framework.errors import ConfigError, EefWarning
from eef_framework.models.adapter import base_of, is_adapter, with_adapters
from eef_framework.models.gguf import load_gguf_model, load_gguf_tokenizer
from eef_framework.models.quiet import without_progress_bars as without_progress_bars  # used by all who load models
from eef_framework.models.store import resolve

Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]

_NATIVE = {"bfloat16": "_is_mkldnn_bf16_supported", "float16": "_is_mkldnn_fp16_supported"}
"""What of torch's knows whether the processor has instructions for a type."""


def pick_device(device: Device) -> str:
    """Return the device to compute on; `auto` is the best there is.

    Raises:
        ConfigError: there is no such device here.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, available in there.items() if available)
    if not there[device]:
        raise ConfigError(f"there is no {device!r} device here", "Use 'auto', or install torch for that device.")
    return device


def warn_of_slow_type(dtype: str, device: str) -> None:
    """Warn where torch can compute in a type only much more slowly than in float32.

    Args:
        dtype: name of a type of torch.
        device: where to compute.
    """
    if dtype in _NATIVE and device == "cpu" and not _is_native(dtype):
        warnings.warn(
            f"this processor has no instructions for {dtype}: answers take about 5 times and training 20 times as long "
            "as in float32 (measured with AVX2). Set policy.dtype, or the trainer's precision, to float32.",
            EefWarning,
            stacklevel=3,
        )


def _is_native(dtype: str) -> bool:
    """Tell whether the processor has instructions for a type; where torch can't say so, it is taken to have them."""
    import torch

    known = getattr(torch.ops.mkldnn, _NATIVE[dtype], None)
    return known is None or bool(known())


def load_model(path: Path | str, dtype: str, device: str) -> Any:
    """Load a causal language model.

    Args:
        path: its folder, a folder of adapters (which are merged into their model), a GGUF file, the name of a known
            model (`eef models list`), or a name on the hub.
        dtype: name of a type of torch, or `auto` for the type it was saved in.
        device: where to put it.

    Raises:
        ConfigError: there is no such model, or it can't be read.
    """
    from transformers import AutoModelForCausalLM

    where = Path(resolve(str(path)))
    with without_progress_bars(), _readable(path):
        if where.suffix == ".gguf":
            model = load_gguf_model(where, dtype)
        elif is_adapter(where):
            model = with_adapters(load_model(base_of(where), dtype, "cpu"), where)
        else:
            model = AutoModelForCausalLM.from_pretrained(str(where), dtype=dtype)
    return model.to(device)


def load_tokenizer(path: Path | str) -> Any:
    """Load the tokenizer of a model.

    Args:
        path: as for `load_model`; a folder of adapters without a tokenizer has that of their model.

    Raises:
        ConfigError: there is none, or it can't be read.
    """
    from transformers import AutoTokenizer

    where = Path(resolve(str(path)))
    with _readable(path):
        if where.suffix == ".gguf":
            return load_gguf_tokenizer(where)
        if is_adapter(where) and not (where / "tokenizer_config.json").is_file():
            return load_tokenizer(base_of(where))
        return AutoTokenizer.from_pretrained(str(where))


@contextmanager
def _readable(path: Path | str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as cause:
        first = next(iter(str(cause).strip().splitlines()), "")
        raise ConfigError(
            f"can't open the model {str(path)!r}: {type(cause).__name__}: {first}",
            "Give 'tiny', a folder that holds config.json, model weights and a tokenizer, a folder of adapters, a GGUF "
            "file, a name that `eef models list` knows, or a name on the hub.",
        ) from cause
