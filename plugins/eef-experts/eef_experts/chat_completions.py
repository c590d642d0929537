"""Expert with a model on a server with a chat-completions API."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from eef_experts.policy_expert import PolicyExpert
from eef_framework.interfaces import Environment
from eef_framework.policies.chat_completions import OpenAIPolicy, ServerSettings


class OpenAIExpert(ServerSettings, PolicyExpert):
    """A model on a server: OpenAI, vLLM, llama.cpp, or any other chat-completions API."""

    name: ClassVar[str] = "openai"
    renamed: ClassVar[Mapping[str, str]] = {**ServerSettings.renamed, **PolicyExpert.renamed}

    stop: tuple[str, ...] = ("\nObservation:",)
    """Stop sequences: an answer ends before any of these texts. Otherwise the model would make up the environment's
    answer."""

    def free_settings(self) -> Collection[str]:
        """Return the limits of requests and episodes."""
        return (*ServerSettings.free_settings(self), *PolicyExpert.free_settings(self))

    def preflight(self, environment: Environment | None = None) -> None:
        """Check that the key, everything needed to reach the server, and the file of examples are available.

        Raises:
            ConfigError: something is missing or malformed.
        """
        PolicyExpert.preflight(self, environment)
        ServerSettings.preflight(self)

    def price(self, prompt: int, answers: int) -> float:
        """Return the price of tokens, none of them cached."""
        return self.prices.usd(prompt, 0, answers)

    def open_policy(self) -> OpenAIPolicy:
        """Return a policy with this expert's settings."""
        return OpenAIPolicy(**self.model_dump(include=set(ServerSettings.model_fields)))
