"""Environments over HTTP: a server with fork and restore, and the environment `remote` as its client."""

from typing import Any

# What verifiers looks for in the package that a taskset's id names. Loaded when asked for, since it needs verifiers.
__all__ = ["EefEnv", "EefTaskset"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from eef_serve import verifiers_taskset

    return getattr(verifiers_taskset, name)
