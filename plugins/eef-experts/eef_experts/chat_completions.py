"""Expert with GPT-4 or any other model on a server with a chat-completions API."""

from __future__ import annotations

from typing import ClassVar

from eef_experts.policy_expert import PolicyExpert
from eef_framework.interfaces import Environment
from eef_framework.policies.chat_completions import OpenAIPolicy, ServerSettings


class OpenAIExpert(ServerSettings, PolicyExpert):
    """A model on a server: OpenAI, vLLM, llama.cpp, or any other chat-completions API."""

    name: ClassVar[str] = "openai"

    stop: tuple[str, ...] = ("\nObservation:",)
    """Stop sequences: an answer ends before any of these texts. Otherwise the model would make up the environment's
    answer."""

    def preflight(self, environment: Environment | None = None) -> None:
        """Check that the key, everything needed to reach the server, and the file of examples are available.

        Raises:
            ConfigError: something is missing or malformed.
        """
        PolicyExpert.preflight(self, environment)
        ServerSettings.preflight(self)

    def player(self) -> OpenAIPolicy:
        """Return the policy with this expert's settings."""
        return OpenAIPolicy(**self.model_dump(include=set(ServerSettings.model_fields)))
