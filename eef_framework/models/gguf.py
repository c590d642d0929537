"""Models in GGUF files, llama.cpp's format."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from eef_framework._compat.gguf import setting
from eef_framework._compat.transformers import unpacked_gguf
from eef_framework.models.inspection import check_gguf
from eef_framework.models.progress_bars import without_progress_bars
from eef_framework.models.saving import new_checkpoint

_SPLITS_DIGITS = ("smollm",)
"""Tokenizers, by their names in GGUF files, that split numbers into digits first. transformers (5.23) doesn't."""


def convert(file: Path, folder: Path, window: int | None = None) -> None:
    """Write the model of a GGUF file to a folder, in the layout of transformers.

    Weights are written in bfloat16, whose rounding error is far below that of four or eight bits.

    Args:
        file: the GGUF file.
        folder: the output folder.
        window: context window, in tokens; None for the model's own.
    """
    model, tokenizer = load_gguf_model(file, "bfloat16"), load_gguf_tokenizer(file)
    tokenizer.model_max_length = window or model.config.max_position_embeddings
    with without_progress_bars(), new_checkpoint(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)


def load_gguf_model(file: Path, dtype: str) -> Any:
    """Load the model of a GGUF file, with unpacked weights.

    Args:
        file: the GGUF file.
        dtype: name of a type of torch; `auto` is bfloat16.
    """
    from transformers import AutoModelForCausalLM

    check_gguf(file)
    wanted = "bfloat16" if dtype == "auto" else dtype
    # One of the progress bars of transformers can't be disabled, so stderr is suppressed while it reads.
    with without_progress_bars(), redirect_stderr(StringIO()):
        model = AutoModelForCausalLM.from_pretrained(
            str(file.parent), gguf_file=file.name, dtype=wanted, **unpacked_gguf()
        )
    model.hf_quantizer = None  # otherwise transformers refuses to train and to save it
    return model


def load_gguf_tokenizer(file: Path) -> Any:
    """Load the tokenizer of a GGUF file."""
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    if setting(file, "tokenizer.ggml.pre") in _SPLITS_DIGITS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    return tokenizer
