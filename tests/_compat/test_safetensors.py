"""Errors of libraries in Rust. If a test fails, adapt `_compat/safetensors.py`."""

import errno

import torch

from eef_framework._compat.safetensors import os_error_number


def cause(write, path):
    try:
        write(path)
    except Exception as error:
        return error
    raise AssertionError("it was written")


def test_safetensors_names_the_error_number(tmp_path):
    from safetensors.torch import save_file

    error = cause(lambda path: save_file({"a": torch.zeros(2)}, path), tmp_path / "no folder" / "model.safetensors")
    assert os_error_number(error) == errno.ENOENT


def test_tokenizers_names_the_error_number(tmp_path):
    from tokenizers import Tokenizer, models

    error = cause(lambda path: Tokenizer(models.BPE()).save(str(path)), tmp_path / "no folder" / "tokenizer.json")
    assert os_error_number(error) == errno.ENOENT


def test_other_errors_have_no_number():
    assert os_error_number(ValueError("os error without a number")) is None
