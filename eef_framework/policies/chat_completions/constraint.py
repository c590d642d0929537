"""Constrained decoding with vLLM."""

from __future__ import annotations

import re
from typing import Any, Literal

from eef_framework.records import Observation


def constraint(observation: Observation, how: Literal["structured_outputs", "guided"]) -> dict[str, Any]:
    """Return the fields of a request that allow only admissible actions; empty if they aren't known.

    Args:
        observation: lists the admissible actions.
        how: `structured_outputs` for vLLM from 0.12 on, `guided` for versions before.
    """
    if not observation.actions and not observation.free:
        return {}
    if not observation.free:
        return _named("choice", list(observation.actions or ()), how)
    listed = [re.escape(action) for action in observation.actions or ()]
    worded = [rf"{re.escape(form.prefix)}[^\s\[\]][^\n\[\]]*{re.escape(form.suffix)}" for form in observation.free]
    return _named("regex", f"({'|'.join([*listed, *worded])})", how)


def _named(kind: str, value: Any, how: str) -> dict[str, Any]:
    return {f"guided_{kind}": value} if how == "guided" else {"structured_outputs": {kind: value}}
