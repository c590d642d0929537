"""Registers the experts."""

from __future__ import annotations

from collections.abc import Callable

from eef_experts.best_of_n import BestOfNExpert
from eef_experts.chat_completions import OpenAIExpert
from eef_experts.local import LocalExpert
from eef_experts.mixture import MixtureExpert
from eef_experts.recording import RecordingExpert
from eef_framework.interfaces import Expert
from eef_framework.plugins import hookimpl


@hookimpl
def register_experts(register: Callable[[type[Expert]], None]) -> None:
    """Register the experts."""
    register(OpenAIExpert)
    register(LocalExpert)
    register(RecordingExpert)
    register(MixtureExpert)
    register(BestOfNExpert)
