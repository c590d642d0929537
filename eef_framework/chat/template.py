"""Chat templates: the text that a template makes of messages, and where a turn begins and ends in it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from eef_framework.chat.template_calls import PROBE, escaped, escaped_json, only_call, template_messages
from eef_framework.chat.tool_calls import as_result, with_calls
from eef_framework.errors import ConfigError, EefWarning
from eef_framework.records import Conversation, Message, Tool

_MARK = "MARK"
_OTHER_TEMPLATE = "Choose an instruction-tuned model, or put another chat template into its tokenizer's folder."


class ChatTemplate:
    """The chat template of a tokenizer.

    Args:
        tokenizer: a transformers tokenizer with a chat template.

    Attributes:
        sample_prompt: the text of a prompt with one message.
        turn_prefix: the text that the template writes between a prompt and the answer.
        stop_text: the text with which it ends an answer; its end is a special token.

    Raises:
        ConfigError: it fails (`template-failed`), or doesn't end assistant turns with a special token
            (`template-without-turns`).
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        # The longest first: one special token may be the beginning of another.
        longest_first = sorted((token for token in self._special_tokens() if len(token) > 1), key=len, reverse=True)
        self._special_pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._head = lru_cache(maxsize=1024)(self._new_head)
        self._merges_system = self._rejects_system()
        self._writes_calls = False  # until it is known how turns are written
        self.sample_prompt = self.render((Message(role="user", content=_MARK),), prompt=True)
        self.turn_prefix, self.stop_text = self._turn_delimiters()
        self._writes_calls = self._has_own_notation_of_calls()

    def render(self, messages: Conversation, *, prompt: bool) -> str:
        """Return the text that the template makes of messages; for a prompt, with the beginning of an answer.

        Tools are written where the template writes them with the first observation alone. Templates of Mistral models
        would move them to each later message of the user, and so rewrite earlier ones.
        """
        text = self._written(messages, (), prompt)
        if not (messages and messages[0].tools):
            return text
        plain, head = self._head(messages[:2])
        return (
            head + text.removeprefix(plain)
            if text.startswith(plain)
            else self._written(messages, messages[0].tools, prompt)
        )

    def split_turn(self, earlier: str, text: str) -> tuple[str, str]:
        """Split the text after an earlier prompt into the turn that answers it and the text after its stop token."""
        turn, stop, rest = text[len(earlier) :].partition(self.stop_text)
        if not (text.startswith(earlier) and stop):
            raise ConfigError(
                "the chat template rewrites earlier messages as the conversation goes on, so that what the agent was "
                f"shown differs from what it would be trained on; after {earlier[-80:]!r} it writes "
                f"{text[len(earlier) :][:80]!r}",
                "Show one observation at a time (format.history: 1), leave out the instructions "
                "(format.instructions: false), or put another chat template into the model's folder.",
                code="template-changes-history",
            )
        return turn, rest

    def turn(self, answer: str) -> str:
        """Return what the template writes for an answer, without the stop text."""
        if not (self._writes_calls and only_call(answer)):
            return self.turn_prefix + self.escape_special_tokens(answer)
        messages = (Message(role="user", content=_MARK), Message(role="assistant", content=answer))
        return self.split_turn(self.sample_prompt, self.render(messages, prompt=False))[0]

    def keeps(self, answer: str, turn: str) -> bool:
        """Return whether a rendered turn has the whole answer: its text, or its call in another notation."""
        if self.escape_special_tokens(answer).strip() in turn:
            return True
        call = only_call(answer) if self._writes_calls else None
        return call is not None and only_call(turn) == escaped(call, self.escape_special_tokens)

    def escape_special_tokens(self, text: str) -> str:
        """Return a text without special tokens: a space is inserted after their first character.

        Otherwise text of an environment or an expert, such as `<|im_end|>`, would end a turn or begin another one.
        """
        return self._special_pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    def _turn_delimiters(self) -> tuple[str, str]:
        """Return the text that the template writes between a prompt and the answer, and the one after the answer."""
        question = Message(role="user", content=_MARK)
        full = self.render((question, Message(role="assistant", content=_MARK)), prompt=False)
        prefix, mark, tail = full.removeprefix(self.sample_prompt).partition(_MARK)
        # A turn ends with the first special token after the answer.
        special = [(tail.index(token), token) for token in self._special_tokens() if token in tail]
        if not (full.startswith(self.sample_prompt) and mark and special):
            raise ConfigError(
                f"the chat template writes an assistant's turn as {full!r}, not as prompt, answer, special token",
                _OTHER_TEMPLATE,
                code="template-without-turns",
            )
        position, token = min(special)
        return prefix, tail[:position] + token

    def _has_own_notation_of_calls(self) -> bool:
        """Return whether the template writes calls in a notation that isn't ours and is read as the same call."""
        ours = with_calls("", [PROBE])
        question = Message(role="user", content=_MARK)
        messages = (question, Message(role="assistant", content=ours), question.changed(content=as_result(_MARK)))
        try:
            written = self._apply_template(template_messages(messages, str), prompt=True)
            turn, result = self.split_turn(self.sample_prompt, written)
        except Exception:  # templates reject by raising any exception
            return False
        return ours not in turn and only_call(turn) == PROBE and _MARK in result

    def _new_head(self, messages: Conversation) -> tuple[str, str]:
        """Return the text of a system message and the first observation, without and with the tools."""
        plain, head = (self._written(messages, tools, False) for tools in ((), messages[0].tools))
        if plain == head:
            warnings.warn(
                EefWarning(
                    "the chat template writes no tools: the model isn't told which ones it may call. Describe them in "
                    "the environment's instructions, or choose a model whose template writes tools.",
                    code="template-without-tools",
                    tools=[tool.name for tool in messages[0].tools],
                ),
                stacklevel=2,
            )
        return plain, head

    def _written(self, messages: Conversation, tools: Sequence[Tool], prompt: bool) -> str:
        escape = self.escape_special_tokens
        plain = (
            template_messages(messages, escape)
            if self._writes_calls
            else [{"role": message.role, "content": escape(message.content)} for message in messages]
        )
        if messages[0].tools and not messages[0].content.strip():
            plain.pop(0)  # it is there for the tools alone
        if self._merges_system and len(plain) > 1 and plain[0]["role"] == "system":
            instructions = plain.pop(0)["content"]
            plain[0]["content"] = f"{instructions}\n\n{plain[0]['content']}"
        try:
            return self._apply_template(
                plain, prompt=prompt, tools=[escaped_json(tool.function, escape) for tool in tools]
            )
        except Exception as cause:  # templates are programs and may raise any exception
            raise ConfigError(
                f"the chat template failed: {type(cause).__name__}: {cause}", _OTHER_TEMPLATE, code="template-failed"
            ) from cause

    def _apply_template(
        self, messages: list[dict[str, Any]], *, prompt: bool, tools: Sequence[dict[str, Any]] = ()
    ) -> str:
        text = self._tokenizer.apply_chat_template(
            messages, tools=list(tools) or None, tokenize=False, add_generation_prompt=prompt
        )
        return str(text)

    def _rejects_system(self) -> bool:
        head = [{"role": "system", "content": "SYSTEM"}, {"role": "user", "content": _MARK}]
        following = [{"role": "assistant", "content": _MARK}, {"role": "user", "content": _MARK}]
        try:
            first = self._apply_template(head, prompt=False)
            # Templates of Mistral models would move it to each later message of the user.
            return "SYSTEM" not in first or not self._apply_template([*head, *following], prompt=True).startswith(first)
        except Exception:  # templates reject by raising any exception
            return True

    def _special_tokens(self) -> set[str]:
        added = self._tokenizer.added_tokens_decoder.values()
        return {*self._tokenizer.all_special_tokens, *(token.content for token in added if token.special)}
