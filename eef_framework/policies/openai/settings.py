"""How a server is reached, and what it is asked for."""

from __future__ import annotations

import importlib.util
import os
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from eef_framework.errors import ConfigError
from eef_framework.interfaces import Component


class Prices(BaseModel):
    """What a model costs, in US dollars per million tokens. Nothing is counted where they are 0."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    input: float = Field(default=0.0, ge=0)
    """Tokens of prompts."""
    cached_input: float | None = Field(default=None, ge=0)
    """Tokens of prompts that the server had cached; as much as others where it is null."""
    output: float = Field(default=0.0, ge=0)
    """Tokens of answers, hidden reasoning included."""

    def usd(self, prompt: int, cached: int, completion: int) -> float:
        """Return what an answer costs.

        Args:
            prompt: tokens of the prompt, the cached ones included.
            cached: those of them that the server had cached.
            completion: tokens of the answer.
        """
        again = self.input if self.cached_input is None else self.cached_input
        return ((prompt - cached) * self.input + cached * again + completion * self.output) / 1e6


class ServerSettings(Component):
    """A model behind a server that speaks OpenAI's chat-completions API. The key itself is never a setting."""

    model: str
    """The model's name on the server, such as `gpt-4o`."""
    base_url: str | None = None
    """Where the server is, such as `http://localhost:8000/v1`; OpenAI's own where it is null."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key. Servers other than OpenAI's may do without one."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Longest wait for an answer."""
    retries: int = Field(default=5, ge=0)
    """How often a request is repeated that was lost to what may pass: connections, timeouts, too many requests,
    errors of the server, answers that can't be read."""
    longest_wait_s: float = Field(default=60.0, ge=0)
    """Longest wait before a repetition. Waits double from half a second, or are as long as the server asks for."""
    requests: int = Field(default=32, gt=0)
    """Most requests under way at the same time."""
    stop: tuple[str, ...] = ()
    """An answer ends before any of these texts."""
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls the longest answer. OpenAI's reasoning models know the second name only."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of the request's body, such as `{reasoning_effort: low}`. null removes a field."""
    overflow: Literal["drop-oldest", "fail"] = "drop-oldest"
    """What happens when a conversation is longer than the model's context: the oldest observations are left out, with
    the turns that answer them, and the record says how many; or the episode fails."""
    server: Literal["auto", "plain", "vllm"] = "auto"
    """What the server is. vLLM is asked for token ids and can be told which answers are allowed; `auto` looks at
    its list of models."""
    constraint: Literal["structured_outputs", "guided"] = "structured_outputs"
    """How vLLM is told which answers are allowed; `guided` for versions before 0.12."""
    tokenizer: str = ""
    """Folder or hub name of the server's tokenizer, so that the token ids it returns can be trained on as they are.
    Without it they are recorded, and belong to no tokenizer that a trainer knows."""
    logprobs: bool = False
    """Ask for the log-probability of every token of an answer."""
    prices: Prices = Prices()
    """What the model costs."""

    @field_validator("base_url")
    @classmethod
    def _reachable(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an address such as http://localhost:8000/v1")
        if parts.username or parts.password:
            raise ValueError("holds a password, which would end up in the run's record; use api_key_env")
        if parts.path.rstrip("/").endswith("/completions"):
            raise ValueError("names one of the server's functions; leave off what comes behind /v1")
        return url

    @model_validator(mode="after")
    def _installed(self) -> Self:
        if importlib.util.find_spec("openai") is None:
            raise ConfigError(
                f"{self.component_name()!r} needs the library openai, which isn't installed",
                "pip install 'eef-framework[openai]'",
            )
        return self

    @property
    def place(self) -> str:
        """Where the server is, in words."""
        return self.base_url or "OpenAI"

    def key(self) -> str:
        """Return the key.

        Raises:
            ConfigError: OpenAI needs one, and the environment variable isn't set.
        """
        key = os.environ.get(self.api_key_env, "")
        if not key and self.base_url is None:
            raise ConfigError(
                f"OpenAI needs a key, and the environment variable {self.api_key_env} isn't set",
                f"export {self.api_key_env}=..., or set base_url to another server.",
            )
        return key or "none"
