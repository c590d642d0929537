"""Opening models of transformers, quietly and with errors that say what to do."""

from __future__ import annotations

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
    from transformers.utils import logging

    with _Quiet(logging), _Readable(path):
        model = AutoModelForCausalLM.from_pretrained(str(path), dtype=dtype)
    return model.to(device)


def load_tokenizer(path: Path | str) -> Any:
    """Load the tokenizer of a model.

    Raises:
        ConfigError: there is none, or transformers can't read it.
    """
    from transformers import AutoTokenizer

    with _Readable(path):
        return AutoTokenizer.from_pretrained(str(path))


class _Readable:
    """Explains what goes wrong while a model is opened."""

    def __init__(self, path: Path | str) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, cause: BaseException | None, trace: object) -> None:
        if isinstance(cause, OSError | ValueError):
            first = next(iter(str(cause).strip().splitlines()), "")
            raise ConfigError(
                f"can't open the model {str(self.path)!r}: {type(cause).__name__}: {first}",
                "Give 'tiny', a folder that holds config.json, model weights and a tokenizer, or a name on the hub.",
            ) from cause


class _Quiet:
    """Keeps transformers from drawing progress bars, as the command line draws its own."""

    def __init__(self, logging: Any) -> None:
        self.logging = logging

    def __enter__(self) -> None:
        self.drawn = self.logging.is_progress_bar_enabled()
        self.logging.disable_progress_bar()

    def __exit__(self, *exception: object) -> None:
        if self.drawn:
            self.logging.enable_progress_bar()
