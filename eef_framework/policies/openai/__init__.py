"""Models behind a server that speaks the chat-completions API."""

from eef_framework.policies.openai.policy import OpenAIPolicy
from eef_framework.policies.openai.settings import Prices, ServerSettings

__all__ = ["OpenAIPolicy", "Prices", "ServerSettings"]
