"""Loads transformers models quietly, with errors that say how to fix them."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from eef_framework.errors import ConfigError, EefError, EefWarning
from eef_framework.models.adapter import base_of, is_adapter, with_adapters
from eef_framework.models.finding import find_model
from eef_framework.models.gguf import load_gguf_model, load_gguf_tokenizer
from eef_framework.models.progress_bars import without_progress_bars
from eef_framework.models.store import resolve
from eef_framework.paths import expand


def _known_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise PydanticCustomError(
            "unknown-device", "must be 'auto', 'cpu', 'mps', 'cuda' (a GPU), or one of several GPUs, such as 'cuda:1'"
        )
    return device


Device = Annotated[str, AfterValidator(_known_device)]
"""Device: `auto`, `cpu`, `mps`, `cuda`, or one of several GPUs, such as `cuda:3`."""
Dtype = Literal["auto", "float32", "bfloat16", "float16"]

_NATIVE = {"bfloat16": "_is_mkldnn_bf16_supported", "float16": "_is_mkldnn_fp16_supported"}
"""Functions of torch that tell whether the CPU has instructions for a type."""


def pick_device(device: Device) -> str:
    """Return the device to compute on; `auto` is the best available one.

    Raises:
        ConfigError: the device isn't available.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, available in there.items() if available)
    kind, _, index = device.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else int(there[kind])
    if not there[kind] or int(index or 0) >= count:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES") if kind == "cuda" else None
        raise ConfigError(
            f"there is no device {device!r} here; torch {torch.__version__} sees {count} of that kind",
            "Use 'auto', or install torch for that device."
            if hidden is None
            else f"CUDA_VISIBLE_DEVICES is {hidden!r}: unset it, or list the GPUs to use.",
            code="no-such-device",
            device=device,
            count=count,
        )
    return device


def check_device(device: Device) -> None:
    """Check that the device is available. torch is loaded only for devices that may be missing.

    Raises:
        ConfigError: it isn't available.
    """
    if device not in ("auto", "cpu"):
        pick_device(device)


def require_devices(device: Device, processes: int) -> None:
    """Check that each of several processes has its own GPU, if they compute on GPUs. Loads torch.

    Raises:
        ConfigError: there are fewer GPUs, or the device names a single GPU.
    """
    import torch

    if not pick_device(device).startswith("cuda"):
        return
    count = torch.cuda.device_count() if device in ("auto", "cuda") else 1
    if count < processes:
        raise ConfigError(
            f"the trainer's processes is {processes}, and each needs a GPU of its own; there is {count} ({device!r})",
            f"Set processes to {count}, or device to cpu." if count > 1 else "Set processes to 1, or device to cpu.",
            code="too-few-devices",
            count=count,
            processes=processes,
        )


def warn_of_slow_type(dtype: str, device: str) -> None:
    """Warn if torch computes in a type much more slowly than in float32.

    Args:
        dtype: name of a torch dtype.
        device: the device to compute on.
    """
    if dtype in _NATIVE and device == "cpu" and not _is_native(dtype):
        told = EefWarning(
            f"this processor has no instructions for {dtype}: answers take about 5 times and training 20 times as long "
            "as in float32 (measured with AVX2). Set policy.dtype, or the trainer's precision, to float32.",
            code="slow-type",
            dtype=dtype,
        )
        warnings.warn(told, stacklevel=3)


def _is_native(dtype: str) -> bool:
    """Return whether the CPU has instructions for a type; assumed if torch can't tell."""
    import torch

    known = getattr(torch.ops.mkldnn, _NATIVE[dtype], None)
    return known is None or bool(known())


def load_model(path: Path | str, dtype: str, device: str, trust_remote_code: bool = False) -> Any:
    """Load a causal language model.

    Args:
        path: its folder, a folder of adapters (which are merged into their model), a GGUF file, the name of a known
            model (`eef models list`), or a name on the hub.
        dtype: name of a torch dtype, or `auto` for the type it was saved in.
        device: the device to load it on.
        trust_remote_code: whether Python code that comes with the model may run.

    Raises:
        ConfigError: the model doesn't exist or can't be read; see `error.code`.
    """
    where = find_model(str(path), trust_remote_code)
    with without_progress_bars(), _readable(path, "model-unreadable"):
        if where.is_file():
            model = load_gguf_model(where, dtype)
        elif is_adapter(where):
            model = with_adapters(load_model(base_of(where), dtype, "cpu", trust_remote_code), where)
        else:
            model = _load_folder(where, dtype, trust_remote_code)
        return model.to(device)


def _load_folder(where: Path, dtype: str, trust_remote_code: bool) -> Any:
    from transformers import AutoModelForCausalLM

    # Mismatched sizes are collected instead of raised, so that they can be reported.
    model, info = AutoModelForCausalLM.from_pretrained(
        str(where),
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    if differing := sorted(info["mismatched_keys"]):
        name, saved, wanted = differing[0]
        raise ConfigError(
            f"the weights of {str(where)!r} don't have the sizes that its config.json gives: {name} is "
            f"{tuple(saved)} in the file and {tuple(wanted)} by the settings ({len(differing)} differ)",
            "Weights and config.json come from two models: download both again.",
            code="model-sizes-differ",
            path=str(where),
            tensors={name: (tuple(saved), tuple(wanted)) for name, saved, wanted in differing},
        )
    if missing := sorted(info["missing_keys"]):
        raise ConfigError(
            f"the weights of {str(where)!r} are incomplete: {missing[0]} is missing ({len(missing)} are)",
            "Download the model again. A model without its head (for embeddings) can't write text.",
            code="model-incomplete",
            path=str(where),
            missing=missing,
        )
    if getattr(model.config, "is_decoder", True) is False:
        raise ConfigError(
            f"{str(where)!r} isn't a causal language model: its settings say is_decoder: false",
            "Choose a model that writes text left to right, such as a Llama, Qwen or Mistral (instruction-tuned).",
            code="not-a-causal-model",
            path=str(where),
            architectures=[type(model).__name__],
        )
    return model


def load_tokenizer(path: Path | str, trust_remote_code: bool = False) -> Any:
    """Load the tokenizer of a model.

    Args:
        path: as for `load_model`; a folder of adapters without a tokenizer uses that of their model.
        trust_remote_code: whether Python code that comes with the model may run.

    Raises:
        ConfigError: it is missing, can't be read, or has no chat template; see `error.code`.
    """
    from transformers import AutoTokenizer

    where = expand(resolve(str(path)))
    if is_adapter(where) and not (where / "tokenizer_config.json").is_file():
        return load_tokenizer(base_of(where), trust_remote_code)
    if where.is_dir() and not any((where / name).is_file() for name in ("config.json", "tokenizer_config.json")):
        raise ConfigError(
            f"{str(path)!r} holds no model of transformers: there is no config.json in it",
            "If the policy writes other checkpoints, set clone.trainer and tune.trainer to a trainer for them. "
            "Otherwise give the folder that holds config.json and weights.",
            code="model-incomplete",
            path=str(path),
            missing=["config.json"],
        )
    with _readable(path, "no-tokenizer"):
        if where.is_file():
            tokenizer = load_gguf_tokenizer(where)
        else:
            tokenizer = AutoTokenizer.from_pretrained(str(where), trust_remote_code=trust_remote_code)
    if tokenizer.chat_template is None:
        raise ConfigError(
            f"the tokenizer of {str(path)!r} has no chat template",
            "Choose an instruction-tuned model, or put a chat template (chat_template.jinja) into its folder.",
            code="no-chat-template",
            path=str(path),
        )
    return tokenizer


@contextmanager
def _readable(path: Path | str, code: str) -> Iterator[None]:
    """Explain exceptions of the libraries. Most problems are found earlier, in the files' headers."""
    import torch

    try:
        yield
    except EefError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as cause:
        raise ConfigError(
            f"the model {str(path)!r} is too large for the memory",
            "Choose a smaller model, or a shorter type (dtype: bfloat16).",
            code="model-too-large",
            path=str(path),
        ) from cause
    except Exception as cause:
        if isinstance(cause, ImportError):
            code = "model-needs-library"
        elif isinstance(cause, pickle.UnpicklingError):
            code = "model-unsafe-pickle"
        first = next(iter(str(cause).strip().splitlines()), "")
        raise ConfigError(
            f"can't open the model {str(path)!r}: {type(cause).__name__}: {first}",
            _FIXES[code],
            code=code,
            path=str(path),
        ) from cause


_FIXES = {
    "model-unreadable": "Download it again, or choose another model.",
    "model-needs-library": "Install what is named there, or choose another model.",
    "model-unsafe-pickle": "Its file of weights holds Python objects, which could run anything. Use the model in the "
    "format safetensors.",
    "no-tokenizer": "Put the tokenizer's files (tokenizer.json, tokenizer_config.json) into its folder.",
}
