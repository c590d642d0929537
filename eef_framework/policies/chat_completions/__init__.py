"""Models on a server with a chat-completions API."""

from eef_framework.policies.chat_completions.constraint import constraint
from eef_framework.policies.chat_completions.policy import OpenAIPolicy
from eef_framework.policies.chat_completions.settings import AnswerBudget, Prices, ServerSettings, address
from eef_framework.policies.chat_completions.transport import client_arguments

__all__ = ["AnswerBudget", "OpenAIPolicy", "Prices", "ServerSettings", "address", "client_arguments", "constraint"]
