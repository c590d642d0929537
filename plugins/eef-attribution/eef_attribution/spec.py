"""Settings that name a component."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator


def _named(spec: Any) -> Any:
    return {"name": spec} if isinstance(spec, str) else spec


Spec = Annotated[dict[str, Any], BeforeValidator(_named)]
"""Name and settings of a component, or only its name."""
