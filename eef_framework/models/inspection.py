"""Finds out whether a model's files can be loaded, from their headers: in milliseconds, and before anything starts.

Errors of the libraries for a broken file are often not helpful ("header too large" for a Git LFS pointer), and come
only when the weights are loaded, which may be hours into a run.
"""

from __future__ import annotations

import codecs
import importlib.util
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eef_framework.errors import ConfigError, storage
from eef_framework.models.adapter import base_of, is_adapter
from eef_framework.models.gguf_header import required_size

_LFS = b"version https://git-lfs.github.com/spec/"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Weight files, the preferred first. Each may be split into parts, listed in `NAME.index.json`."""
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tokenizer_config.json")
PEFT = "eef-framework[lora]"
"""The package to install for adapters."""
_WHOLE = "Download it again. With git: run `git lfs install` and `git lfs pull` in the model's folder."

_LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "aqlm": ("aqlm",),
    "auto-round": ("auto_round",),
    "awq": ("gptqmodel",),
    "bitsandbytes": ("bitsandbytes",),
    "compressed-tensors": ("compressed_tensors",),
    "fp_quant": ("fp_quant",),
    "gptq": ("optimum", "gptqmodel"),
    "higgs": ("flute", "fast_hadamard_transform"),
    "hqq": ("hqq",),
    "quanto": ("optimum.quanto",),
    "quark": ("quark",),
    "spqr": ("spqr_quant",),
    "torchao": ("torchao",),
    "vptq": ("vptq",),
}
"""Libraries that load weights quantised by a method, by import names."""
_PACKAGES = {"flute": "flute-kernel", "optimum.quanto": "optimum-quanto", "quark": "amd-quark"}
"""Import name -> package, where the two differ by more than hyphens."""


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
    _refuse_pointers(path)
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
    made_by_code = "auto_map" in config or (path / "tekken.json").is_file()  # or by a library of Mistral's
    return bool(config.get("chat_template")) or made_by_code or any(path.glob("*chat_template*"))


def read_json(path: Path) -> dict[str, Any]:
    """Return a model's settings.

    Raises:
        ConfigError: the file isn't JSON, or isn't an object.
    """
    try:
        with storage(path, "reading"):
            data = path.read_bytes()
        if data.startswith(codecs.BOM_UTF8):
            raise ConfigError(
                f"{str(path)!r} begins with a byte order mark, and transformers doesn't read such files",
                "Save it as UTF-8 without one.",
                code="model-byte-order-mark",
                path=str(path),
            )
        content = json.loads(data)
        if not isinstance(content, dict):
            raise ValueError(f"an object was expected, not {type(content).__name__}")
    except ValueError as cause:
        raise ConfigError(
            f"{str(path)!r} can't be read: {cause}", _WHOLE, code="model-unreadable", path=str(path)
        ) from cause
    return content


def check_config(config: Mapping[str, Any], path: object, trust_remote_code: bool = False) -> None:
    """Check whether a model can be used and trained here.

    Args:
        config: content of its config.json.
        path: its path, for messages.
        trust_remote_code: whether Python code that comes with the model may run.

    Raises:
        ConfigError: it isn't.
    """
    names = tuple(config.get("architectures") or ())
    remote = "AutoModelForCausalLM" in (config.get("auto_map") or {})
    _require_libraries(config.get("quantization_config"), path)
    if config.get("is_encoder_decoder"):
        raise _not_causal(path, names)
    if remote and trust_remote_code:
        return
    kind = config.get("model_type")
    if kind is None or not _mentioned(str(kind), "configuration_auto.py", "auto_mappings.py"):
        from eef_framework.models.kinds import knows_type

        if kind is None or not knows_type(str(kind)):
            raise _unknown_type(path, kind, remote)
    if not any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names):
        from eef_framework.models.kinds import is_causal

        if not is_causal(str(kind), names):
            raise _not_causal(path, names)


def _unknown_type(path: object, kind: object, remote: bool) -> ConfigError:
    if remote:
        return ConfigError(
            f"the model {str(path)!r} (model_type {kind!r}) runs only with Python code of its own, which isn't allowed",
            "Read that code. If you trust it, set trust_remote_code: true for the policy and for the trainers.",
            code="model-needs-remote-code",
            path=str(path),
            model_type=kind,
        )
    return ConfigError(
        f"the installed transformers doesn't know the model_type {kind!r} of {str(path)!r}",
        "Install a newer transformers (pip install -U transformers), or choose another model.",
        code="model-type-unknown",
        path=str(path),
        model_type=kind,
    )


def _not_causal(path: object, names: tuple[str, ...]) -> ConfigError:
    return ConfigError(
        f"{str(path)!r} isn't a causal language model: its architecture is {', '.join(names) or 'not said'}",
        "Choose a model that writes text left to right, such as a Llama, Qwen or Mistral (instruction-tuned).",
        code="not-a-causal-model",
        path=str(path),
        architectures=list(names),
    )


def _mentioned(word: str, *files: str) -> bool:
    """Return whether a word occurs in files of transformers: importing the library takes seconds."""
    spec = importlib.util.find_spec("transformers")
    folder = Path(spec.origin).parent / "models" / "auto" if spec and spec.origin else Path()
    there = [folder / name for name in files if (folder / name).is_file()]
    return any(f'"{word}"' in file.read_text(encoding="utf-8") for file in there)


def _require_libraries(quantization: object, path: object) -> None:
    if not isinstance(quantization, Mapping):
        return
    method = str(quantization.get("quant_method") or "")
    wanted = _LIBRARIES.get(method, ())
    if missing := [name for name in wanted if not installed(name)]:
        packages = [_PACKAGES.get(name, name.replace("_", "-")) for name in missing]
        raise ConfigError(
            f"the weights of {str(path)!r} are quantised ({method}), and {', '.join(packages)} isn't installed",
            f"pip install {' '.join(packages)}, or choose the model without quantisation (only that can be trained).",
            code="model-needs-library",
            path=str(path),
            method=method,
            packages=packages,
        )


def installed(module: str) -> bool:
    """Return whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # its parent package is missing
        return False


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
                raise _incomplete(folder, missing, f"{len(missing)} of {len(parts)} parts of its weights are missing")
            for part in parts:
                check_file(folder / part)
            return
    raise _incomplete(folder, [_WEIGHTS[0]], "there are no weights in it")


def _incomplete(folder: Path, missing: list[str], what: str) -> ConfigError:
    return ConfigError(
        f"the model {str(folder)!r} is incomplete: {what} ({', '.join(missing[:3])}{', ...' if missing[3:] else ''})",
        _WHOLE,
        code="model-incomplete",
        path=str(folder),
        missing=missing,
    )


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
        raise _cut(path, "its end is missing")
    if start not in (b"PK", b"\x80\x02"):
        raise ConfigError(f"{str(path)!r} isn't a file of weights", _WHOLE, code="model-unreadable", path=str(path))


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
        raise _cut(path, f"it has {size} bytes")
    try:
        header = json.loads(head)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, AttributeError, TypeError, KeyError, IndexError) as cause:
        raise ConfigError(
            f"{str(path)!r} isn't a file of safetensors", _WHOLE, code="model-unreadable", path=str(path)
        ) from cause
    wanted = 8 + length + max(ends, default=0)
    if size < wanted:
        raise _cut(path, f"it has {size} bytes of {wanted}")
    header.pop("__metadata__", None)
    return dict(header)


def _cut(path: Path, what: str, **details: int) -> ConfigError:
    return ConfigError(f"{str(path)!r} is cut off: {what}", _WHOLE, code="model-incomplete", path=str(path), **details)


def check_gguf(path: Path) -> None:
    """Check whether a file is a complete GGUF file.

    Raises:
        ConfigError: it is something else, cut off, one of several parts, or the library that reads it is missing.
    """
    with storage(path, "reading"), path.open("rb") as file:
        start = file.read(len(_LFS))
    if start == _LFS:
        raise _pointer(path)
    if start[:4] != b"GGUF":
        said = " (it looks like a web page)" if start.lstrip()[:1] == b"<" else ""
        weights = path.suffix in (".safetensors", ".bin", ".json")
        raise ConfigError(
            f"{str(path)!r} isn't a GGUF file{said}",
            "Give the folder that the file is in." if weights else "Download it again.",
            code="model-not-gguf",
            path=str(path),
        )
    if re.search(r"-\d{5}-of-\d{5}\.gguf$", path.name):
        raise ConfigError(
            f"{str(path)!r} is one of several parts of a model, which can't be read",
            "Join the parts (llama-gguf-split --merge), or take the model in the layout of transformers.",
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
    architecture = _gguf_architecture(path)
    if architecture and not _mentioned(architecture, "../../integrations/ggml.py"):
        from eef_framework.models.kinds import reads_gguf

        if not reads_gguf(architecture):
            raise ConfigError(
                f"the installed transformers can't read GGUF files of the architecture {architecture!r}",
                "Take the model in the layout of transformers (a folder with config.json), or another model.",
                code="model-gguf-architecture",
                path=str(path),
                architecture=architecture,
            )
    _check_gguf_size(path)


def _gguf_architecture(path: Path) -> str:
    """Return the architecture of a GGUF file, which is its first metadata entry; empty if it is missing."""
    with storage(path, "reading"), path.open("rb") as file:
        file.seek(24)  # magic, version, number of tensors, number of settings
        key = file.read(min(int.from_bytes(file.read(8), "little"), 64))
        kind = int.from_bytes(file.read(4), "little")
        value = file.read(min(int.from_bytes(file.read(8), "little"), 64))
    return value.decode(errors="replace") if (key, kind) == (b"general.architecture", 8) else ""


def _check_gguf_size(path: Path) -> None:
    try:
        with storage(path, "reading"):
            size, required = path.stat().st_size, required_size(path)
    except EOFError as cause:
        raise _cut(path, str(cause)) from cause
    if size < required:
        raise _cut(path, f"it has {size:,} bytes of {required:,}", size=size, required=required)


def check_adapter(folder: Path) -> None:
    """Check whether a folder of adapters is complete, and peft installed. Its base isn't looked at.

    Raises:
        ConfigError: it isn't.
    """
    base_of(folder)
    require_installed("peft", PEFT, f"the adapter {str(folder)!r}")
    weights = [folder / name for name in ("adapter_model.safetensors", "adapter_model.bin")]
    there = next((file for file in weights if file.is_file()), None)
    if there is None:
        raise _incomplete(folder, [weights[0].name], "there are no weights of adapters in it")
    check_file(there)


def require_installed(module: str, extra: str, what: str) -> None:
    """Check whether an optional library is installed, without importing it.

    Args:
        module: its name, as it is imported.
        extra: what to give to `pip install`.
        what: what needs it.

    Raises:
        ConfigError: it isn't installed.
    """
    if not installed(module):
        raise ConfigError(
            f"{what} needs the library {module}, which isn't installed",
            f"pip install '{extra}'",
            code="missing-extra",
            packages=[module],
        )


def _refuse_pointers(folder: Path) -> None:
    for path in _files(folder):
        with storage(path, "reading"), path.open("rb") as file:
            if file.read(len(_LFS)) == _LFS:
                raise _pointer(path)


def _files(folder: Path) -> Iterator[Path]:
    with storage(folder, "reading"):
        yield from (path for path in sorted(folder.iterdir()) if path.is_file() and path.stat().st_size < 1024)


def _pointer(path: Path) -> ConfigError:
    return ConfigError(
        f"{str(path)!r} is a pointer of Git LFS: the file itself wasn't downloaded",
        "Run `git lfs install` and `git lfs pull` in the model's folder, or download the model with another tool.",
        code="model-git-lfs-pointer",
        path=str(path),
    )
