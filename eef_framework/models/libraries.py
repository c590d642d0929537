"""Finds out which optional libraries are installed, without importing them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from eef_framework.errors import ConfigError

PEFT = "eef-framework[lora]"
"""The package to install for adapters."""

_QUANTIZATION_LIBRARIES: Mapping[str, tuple[str, ...]] = {
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
"""Libraries that load quantised weights: method -> import names."""
_PACKAGES = {"flute": "flute-kernel", "optimum.quanto": "optimum-quanto", "quark": "amd-quark"}
"""Import name -> package, where the two differ by more than hyphens."""


def installed(module: str) -> bool:
    """Return whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # its parent package is missing
        return False


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


def require_quantization_libraries(quantization: object, path: object) -> None:
    """Check whether the libraries that load a model's quantised weights are installed.

    Args:
        quantization: the `quantization_config` of its config.json.
        path: the model's path, for messages.

    Raises:
        ConfigError: one isn't installed.
    """
    if not isinstance(quantization, Mapping):
        return
    method = str(quantization.get("quant_method") or "")
    wanted = _QUANTIZATION_LIBRARIES.get(method, ())
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
