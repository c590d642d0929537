"""Settings for a server and its requests."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from eef_framework.errors import ConfigError
from eef_framework.interfaces import Component
from eef_framework.keys import read_key
from eef_framework.policies.chat_completions.transport import check_transport
from eef_framework.redaction import HIDDEN, is_secret_name, redact_known, register_secret

LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "n_predict")
"""Field names for the maximum length of an answer."""

SHORTEST_CERTAIN = 12
"""Minimum length of a key that can't be in a setting by chance. A key such as `ollama` is a placeholder."""

FREE = (
    "timeout_s",
    "retries",
    "longest_wait_s",
    "requests",
    "prices",
    "budget",
    "requests_per_minute",
    "tokens_per_minute",
    "answers",
)
"""Settings that don't change an answer."""

_FUNCTIONS = re.compile(r"(/chat/completions|/completions|/models|/responses)/*$")
_RESERVED = {
    "messages": "The conversation is the episode's.",
    "model": "Set model.",
    "stream": "Answers are read as a whole.",
}
_NOT_SECRET = frozenset({*LIMITS, "return_token_ids", "prompt_cache_key", "logit_bias", "stop_token_ids"})


class Prices(BaseModel):
    """Prices of a model, in US dollars per million tokens. If they are 0, no costs are counted."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    input: float = Field(default=0.0, ge=0)
    """Price of prompt tokens."""
    cached_input: float | None = Field(default=None, ge=0)
    """Price of cached prompt tokens; null for the price of other prompt tokens."""
    output: float = Field(default=0.0, ge=0)
    """Price of answer tokens."""

    def usd(self, prompt: int, cached: int, completion: int) -> float:
        """Return the cost of an answer.

        Args:
            prompt: tokens of the prompt, the cached ones included.
            cached: how many of them the server had cached.
            completion: tokens of the answer.
        """
        cached_price = self.input if self.cached_input is None else self.cached_input
        return ((prompt - cached) * self.input + cached * cached_price + completion * self.output) / 1e6


class AnswerBudget(BaseModel):
    """What answers may cost in all, over all runs that share the file of answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    tokens: int | None = Field(default=None, gt=0)
    """Maximum number of tokens, of prompts and answers together; null for no limit."""
    usd: float | None = Field(default=None, gt=0)
    """Maximum price in US dollars; null for no limit. Needs `prices`."""


class ServerSettings(Component):
    """A model on a server with OpenAI's chat-completions API. The key itself is never a setting."""

    model: str
    """The model's name on the server, such as `gpt-4o`."""
    base_url: str | None = None
    """Address of the server, such as `http://localhost:8000/v1`; null for OpenAI's. If an address without a path isn't
    found, `/v1` is tried too."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable with the key. Servers other than OpenAI's may not need one."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Maximum time for one request, from sending it to the last byte of the answer, independent of what the server
    sends meanwhile. With retries, an answer takes at most `(retries + 1) * timeout_s + retries * longest_wait_s`, plus
    the wait for one of `requests` and the retries with a shorter conversation."""
    retries: int = Field(default=5, ge=0)
    """Maximum number of retries after transient failures: connections, timeouts, too many requests, server errors,
    unreadable answers."""
    longest_wait_s: float = Field(default=60.0, ge=0)
    """Maximum wait before a retry. Waits double from half a second, or are as long as the server requests."""
    requests: int = Field(default=32, gt=0)
    """Maximum number of concurrent requests."""
    stop: tuple[str, ...] = ()
    """Stop sequences: an answer ends before any of these texts. They may also stop models in the hidden reasoning of an
    answer: set it to `[]` for these."""
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """The server's field for the maximum length of an answer. If it refuses `max_tokens` in favour of the other name,
    as OpenAI's reasoning models do, the other is used."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of the request's body, such as `{reasoning_effort: low}`. null removes a field."""
    overflow: Literal["drop-oldest", "fail"] = "drop-oldest"
    """What to do if a conversation is longer than the model's context: drop the oldest observations, with the turns
    that answer them, and record how many; or fail the episode."""
    server: Literal["auto", "plain", "vllm"] = "auto"
    """Type of the server. vLLM returns token ids and supports constrained answers; `auto` detects it from its list of
    models."""
    constraint: Literal["structured_outputs", "guided"] = "structured_outputs"
    """How answers are constrained with vLLM; `guided` for versions before 0.12."""
    tokenizer: str = ""
    """Folder or hub name of the server's tokenizer, so that the token ids it returns can be used for training directly,
    and so that vLLM can score given answers.
    Without it, token ids are recorded, but don't belong to a tokenizer that a trainer knows."""
    logprobs: bool = False
    """Request the log-probability of every token of an answer."""
    prices: Prices = Prices()
    """Prices of the model."""
    budget: AnswerBudget = AnswerBudget()
    """What answers may cost. A request whose longest answer might exceed it isn't sent: the run stops, and can be
    resumed with a larger budget. Requests with unknown tokens, such as those that timed out, count with their longest
    answer."""
    requests_per_minute: int | None = Field(default=None, gt=0)
    """Rate limit: requests are spaced evenly so that no more are sent in a minute; null for no limit."""
    tokens_per_minute: int | None = Field(default=None, gt=0)
    """Rate limit: as above, for the tokens of prompts and answers."""
    answers: Path | None = None
    """File (.jsonl) in which received answers are kept, so that none is requested twice, even if a run is killed; null
    for a file in the run directory (`answers/`), or next to the output of `eef collect` and `eef evaluate`."""

    @field_validator("base_url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        return None if url is None else address(url)

    @field_validator("api_key_env")
    @classmethod
    def _name_of_a_variable(cls, name: str) -> str:
        looks_like_a_key = len(name) >= 20 and "_" not in name and re.search(r"\d", name) and name not in os.environ
        if looks_like_a_key or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            register_secret(name)
            raise ConfigError(
                "api_key_env must be the name of an environment variable, and the given value isn't one",
                "export MY_KEY=..., and set api_key_env to MY_KEY. The key itself is never a setting: settings are "
                "recorded.",
                code="bad-key-variable",
            )
        return name

    @field_validator("extra")
    @classmethod
    def _usable_extra(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for field, advice in _RESERVED.items():
            if extra.get(field):
                raise ConfigError(f"extra can't set {field!r}", advice, code="bad-extra-field", field=field)
        if extra.get("n") not in (None, 1):
            raise ConfigError(
                f"extra requests {extra['n']!r} answers at once, but only one is used",
                "Remove `n` from extra: every episode sends its own requests.",
                code="bad-extra-field",
                field="n",
            )
        return extra

    @model_validator(mode="after")
    def _priced_budget(self) -> Self:
        if self.budget.usd is not None and not (self.prices.input or self.prices.output):
            raise ConfigError(
                f"budget.usd is {self.budget.usd:g}, and prices are 0, so it would never be reached",
                "Set prices, such as {input: 2.5, output: 10}, in US dollars per million tokens. Or set budget.tokens.",
                code="budget-without-prices",
                usd=self.budget.usd,
            )
        return self

    @model_validator(mode="after")
    def _without_secrets(self) -> Self:
        with suppress(ConfigError):  # reported before a run, or with the first request
            self.key()  # so that it is known from here on
        for key_path, value in _leaves(self.model_dump(mode="json")):
            name = key_path[-1] if key_path else ""
            secret = key_path[:1] == ("extra",) and name not in _NOT_SECRET and is_secret_name(name) and bool(value)
            if redact_known(value, SHORTEST_CERTAIN) != value or (secret and value.lower() != "none"):
                raise ConfigError(
                    f"setting {'.'.join(key_path)!r} holds a key or a password, which would end up in the run's record",
                    "Put the key into an environment variable, and its name into api_key_env.",
                    code="key-in-settings",
                    setting=".".join(key_path),
                )
        return self

    def free_settings(self) -> Collection[str]:
        """Return the settings that limit requests: they don't change an answer."""
        return FREE

    @property
    def endpoint(self) -> str:
        """Where the server is, in words."""
        return self.base_url or "OpenAI"

    def preflight(self) -> None:
        """Check that the key and the libraries are available, and that proxies and certificates can be used.

        Raises:
            ConfigError: something is missing or malformed.
        """
        for library in ("openai", "tenacity"):
            if importlib.util.find_spec(library) is None:
                raise ConfigError(
                    f"{self.component_name()!r} needs the library {library}, which isn't installed",
                    "pip install 'eef-framework[openai]'",
                    code="missing-extra",
                    library=library,
                    extra="openai",
                )
        self.key()
        check_transport()

    def key(self) -> str:
        """Return the key, without the blanks and line ends that come in with files and editors.

        Raises:
            ConfigError: OpenAI needs one, and the environment variable isn't set; or it can't be a key.
        """
        key = read_key(self.api_key_env)
        if not key and self.base_url is None:
            blank = bool(os.environ.get(self.api_key_env))
            raise ConfigError(
                f"OpenAI needs a key, and the environment variable {self.api_key_env} "
                f"{'holds nothing but blanks' if blank else 'is not set'}",
                f"export {self.api_key_env}=..., or set base_url to another server.",
                code="no-key",
                variable=self.api_key_env,
            )
        return key or "none"


def limit_of(fields: Mapping[str, Any]) -> int | None:
    """Return the maximum length of an answer that a request sets, under either name; None if it sets no limit."""
    found = [value for name in LIMITS if isinstance(value := fields.get(name), int)]
    return max(found, default=None)


def address(url: str) -> str:
    """Return a server's normalised address, without parts that are often pasted with it.

    Raises:
        ConfigError: it isn't an address, or contains a password or a query.
    """

    def refused(why: str, fix: str) -> ConfigError:
        return ConfigError(f"base_url {_shown(url)!r} {why}", fix, code="bad-base-url", base_url=_shown(url))

    example = "Write it such as http://localhost:8000/v1."
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
        if "@" in parts.path:  # a slash within a password ends what is read as the host
            raise ValueError
    except ValueError as cause:
        raise refused("isn't an address", example) from cause
    if parts.scheme not in ("http", "https"):
        raise refused("isn't an address: it doesn't begin with http:// or https://", example)
    if not parts.hostname or re.search(r"\s", url.strip()):
        raise refused("isn't an address", example)
    if "@" in parts.netloc:
        for secret in (parts.username or "", parts.password or ""):
            register_secret(secret)
        raise refused(
            "holds a user or a password, which would end up in the run's record",
            "Put the password into an environment variable, and its name into api_key_env.",
        )
    if parts.query or parts.fragment:
        for _, _, secret in (each.partition("=") for each in parts.query.split("&")):
            register_secret(secret)
        raise refused("has a query, and requests go to paths below it", "Leave off the query.")
    path = _FUNCTIONS.sub("", parts.path).rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _shown(url: str) -> str:
    """Return an address without user, password and query."""
    shown = re.sub(r"^([a-z]*:?//)?.*@", rf"\1{HIDDEN}@", url.strip(), flags=re.IGNORECASE | re.DOTALL)
    return re.sub(r"\?.*", f"?{HIDDEN}", shown, flags=re.DOTALL)


def _leaves(value: Any, key_path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every text in settings, with its path."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield key_path, key  # {api_key:sk-...} without a space is a name
            yield from _leaves(each, (*key_path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _leaves(each, (*key_path, str(index)))
    elif isinstance(value, str):
        yield key_path, value
