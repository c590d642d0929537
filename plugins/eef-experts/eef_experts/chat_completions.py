"""GPT-4, and any other model behind a server that speaks the chat-completions API."""

from __future__ import annotations

from typing import ClassVar

from eef_experts.policy_expert import PolicyExpert
from eef_framework.interfaces import Environment
from eef_framework.policies.chat_completions import OpenAIPolicy, ServerSettings


class OpenAIExpert(ServerSettings, PolicyExpert):
    """A model behind a server: OpenAI, vLLM, llama.cpp, whatever speaks the chat-completions API."""

    name: ClassVar[str] = "openai"

    stop: tuple[str, ...] = ("\nObservation:",)
    """An answer ends before any of these texts: a model that goes on would make up the environment's answer."""

    def preflight(self, environment: Environment | None = None) -> None:
        """Find out whether there is a key, what is needed to reach a server, and the file of examples.

        Raises:
            ConfigError: something is missing or malformed.
        """
        PolicyExpert.preflight(self, environment)
        ServerSettings.preflight(self)

    def player(self) -> OpenAIPolicy:
        """Return the policy with this expert's settings."""
        return OpenAIPolicy(**self.model_dump(include=set(ServerSettings.model_fields)))
