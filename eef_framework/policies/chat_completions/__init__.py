"""Models on a server with a chat-completions API."""

from eef_framework.policies.chat_completions.policy import OpenAIPolicy
from eef_framework.policies.chat_completions.settings import Prices, ServerSettings

__all__ = ["OpenAIPolicy", "Prices", "ServerSettings"]
