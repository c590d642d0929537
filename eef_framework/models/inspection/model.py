"""Finds out whether a model's files are complete: folders of models and of adapters, and GGUF files."""

from __future__ import annotations

from pathlib import Path

from eef_framework._compat.peft import WEIGHTS_FILES
from eef_framework.errors import ConfigError
from eef_framework.models.adapter import base_of, is_adapter
from eef_framework.models.inspection.config import check_config
from eef_framework.models.inspection.files import incomplete, read_json
from eef_framework.models.inspection.gguf import check_gguf
from eef_framework.models.inspection.git_lfs import check_pointers
from eef_framework.models.inspection.weights import check_file, check_weights
from eef_framework.models.libraries import PEFT, require_installed

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tokenizer_config.json")


def check_model(path: Path, trust_remote_code: bool = False) -> None:
    """Check whether a model's files are complete, and whether it can be used and trained here.

    Args:
        path: a folder in the layout of transformers, a folder of adapters (whose base is left to the caller), or a
            GGUF file.
        trust_remote_code: whether Python code that comes with the model may run.

    Raises:
        ConfigError: a file is wrong; the message names it and how to get a better one.
    """
    if path.is_file():
        check_gguf(path)
        return
    check_pointers(path)
    if is_adapter(path):
        check_adapter(path)
        return
    if not (path / "config.json").is_file():
        inside = sorted(file.name for file in path.glob("*.gguf"))
        raise ConfigError(
            f"the folder {str(path)!r} holds no model: there is no config.json in it",
            f"Name the file: {path / inside[0]}" if inside else "Give the folder that holds config.json and weights.",
            code="model-incomplete",
            path=str(path),
            missing=["config.json"],
        )
    check_config(read_json(path / "config.json"), path, trust_remote_code)
    check_weights(path)
    if not any((path / name).is_file() for name in _TOKENIZERS):
        raise ConfigError(
            f"the model {str(path)!r} comes without a tokenizer",
            "Put the tokenizer's files (tokenizer.json, tokenizer_config.json) into its folder.",
            code="no-tokenizer",
            path=str(path),
        )
    if not _has_chat_template(path):
        raise ConfigError(
            f"the tokenizer of {str(path)!r} has no chat template",
            "Choose an instruction-tuned model, or put a chat template (chat_template.jinja) into its folder.",
            code="no-chat-template",
            path=str(path),
        )


def _has_chat_template(path: Path) -> bool:
    """Return whether a model's folder has a chat template, as far as files show it."""
    settings = path / "tokenizer_config.json"
    config = read_json(settings) if settings.is_file() else {}
    # Code that comes with the model, or Mistral's own library, may have a template that files don't show.
    other = "auto_map" in config or (path / "tekken.json").is_file()
    return bool(config.get("chat_template")) or other or any(path.glob("*chat_template*"))


def check_adapter(folder: Path) -> None:
    """Check whether a folder of adapters is complete, and peft installed. Its base isn't looked at.

    Raises:
        ConfigError: it isn't.
    """
    base_of(folder)
    require_installed("peft", PEFT, f"the adapter {str(folder)!r}")
    weights = next((folder / name for name in WEIGHTS_FILES if (folder / name).is_file()), None)
    if weights is None:
        raise incomplete(folder, [WEIGHTS_FILES[0]], "there are no weights of adapters in it")
    check_file(weights)
