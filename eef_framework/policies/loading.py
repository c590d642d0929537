"""Opening models of transformers, quietly and with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from eef_framework.errors import ConfigError

Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]


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


def load_model(path: Path | str, dtype: str, device: str) -> Any:
    """Load a causal language model.

    Args:
        path: its folder, or its name on the hub.
        dtype: name of a type of torch, or `auto` for the type it was saved in.
        device: where to put it.

    Raises:
        ConfigError: there is no such model, or transformers can't read it.
    """
    from transformers import AutoModelForCausalLM

    with without_progress_bars(), _readable(path):
        model = AutoModelForCausalLM.from_pretrained(str(path), dtype=dtype)
    return model.to(device)


def load_tokenizer(path: Path | str) -> Any:
    """Load the tokenizer of a model.

    Raises:
        ConfigError: there is none, or transformers can't read it.
    """
    from transformers import AutoTokenizer

    with _readable(path):
        return AutoTokenizer.from_pretrained(str(path))


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars: whoever calls this framework draws their own."""
    from transformers.utils import logging

    drawn = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            logging.enable_progress_bar()


@contextmanager
def _readable(path: Path | str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as cause:
        first = next(iter(str(cause).strip().splitlines()), "")
        raise ConfigError(
            f"can't open the model {str(path)!r}: {type(cause).__name__}: {first}",
            "Give 'tiny', a folder that holds config.json, model weights and a tokenizer, or a name on the hub.",
        ) from cause
