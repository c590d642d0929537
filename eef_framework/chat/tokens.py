"""Turns a conversation into tokens and a loss mask, for both acting and training.

A conversation's tokens are concatenated: those of the text that the template writes before an assistant's turn, those
of the turn, those of the text before the next turn, and so on. A turn's tokens are the sampled ones, if they are known.
So a model is trained on exactly the tokens that it was shown and that it answered, and the tokens of a turn are known
without searching for them in the complete text.

All token ids and weights are flat lists, `(seq,)`.
"""

from __future__ import annotations

import re
import warnings
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from eef_framework.chat.reasoning import is_reasoning_mark
from eef_framework.chat.template_calls import PROBE, escaped, escaped_json, only_call, template_messages
from eef_framework.chat.tool_calls import as_result, with_calls
from eef_framework.errors import ConfigError, EefWarning
from eef_framework.records import Conversation, Message, Tool, fingerprint

_MAX_TOKENS_PER_CHARACTER = 8
"""Upper bound for the number of tokens of one character."""
_MARK = "MARK"
_OTHER_TEMPLATE = "Choose an instruction-tuned model, or put another chat template into its tokenizer's folder."


class TokenizedConversation(NamedTuple):
    """A conversation as tokens."""

    token_ids: list[int]
    """`(seq,)`"""
    loss_weights: list[float]
    """Weight of each token in the loss, 0 for tokens that aren't learned, `(seq,)`."""


class Prompt(NamedTuple):
    """A conversation to be answered."""

    text: str
    """The text that the template renders."""
    ids: tuple[int, ...]
    """The model's input, with the sampled tokens of earlier turns, `(seq,)`."""
    turns: tuple[tuple[int, int], ...]
    """Start and exclusive end of each assistant turn in `ids`."""


class ChatTokenizer:
    """A tokenizer together with its chat template.

    Args:
        tokenizer: a transformers tokenizer with a chat template.

    Attributes:
        tokenizer: the tokenizer.
        fingerprint: identifies the vocabulary: with equal fingerprints, equal token ids mean the same.
        stop_ids: tokens with which the template ends an assistant turn, usually one.
        end_ids: tokens each of which ends a turn when it is sampled.

    Raises:
        ConfigError: the chat template is missing, or doesn't end assistant turns with a special token.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._backend = _backend(tokenizer)
        self.fingerprint = fingerprint("\n".join(f"{i} {t}" for t, i in sorted(tokenizer.get_vocab().items())))
        # The longest first: one special token may be the beginning of another.
        longest_first = sorted((token for token in self._special_tokens() if len(token) > 1), key=len, reverse=True)
        self._special_pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._merges_system = self._rejects_system()
        self._writes_calls = False  # until it is known how turns are written
        self._sample_prompt = self._render((Message(role="user", content=_MARK),), prompt=True)
        self._turn_prefix, self._stop_text = self._turn_delimiters()
        self._writes_calls = self._has_own_notation_of_calls()
        self.stop_ids = tuple(self.tokens(self._stop_text))
        self.end_ids = frozenset({self.stop_ids[-1], tokenizer.eos_token_id} - {None})
        self._hidden_ids = self._special_ids() - self._reasoning_ids()
        self._prompt = lru_cache(maxsize=1024)(self._new_prompt)
        self._head = lru_cache(maxsize=1024)(self._new_head)

    def prompt(self, conversation: Conversation) -> Prompt:
        """Return the model's input for answering a conversation's last message.

        Raises:
            ConfigError: the template rewrites earlier messages as the conversation goes on.
        """
        return self._prompt(tuple(conversation))

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        """Return the tokens of `prompt`."""
        return list(self.prompt(conversation).ids)

    def encode(self, messages: Conversation) -> TokenizedConversation:
        """Return tokens and loss weights of a conversation that ends with an assistant's turn.

        A turn's weight applies to its tokens, stop token included, but not to those of its unweighted prefix and
        suffix; a partly unweighted token has the weight. Text that the template puts before a turn has no weight, and
        neither has the stop token that is added to an earlier turn that was cut off.

        Raises:
            ConfigError: the template rewrites earlier messages, or the last turn.
        """
        prompt = self.prompt(messages[:-1])
        full = self._render(messages, prompt=False)
        last = self._turn_ids(messages[-1], self._split_turn(prompt.text, full)[0])
        ids = [*prompt.ids, *last]
        weights = [0.0] * len(ids)
        answers = [message for message in messages if message.role == "assistant"]
        for message, (start, end) in zip(answers, [*prompt.turns, (len(prompt.ids), len(ids))], strict=True):
            if message.weight:
                first, stop = self._weighted_range(message, ids[start:end])
                weights[start + first : start + stop] = [message.weight] * (stop - first)
        return TokenizedConversation(ids, weights)

    def differs_from_full_tokenization(self, messages: Conversation, ids: Sequence[int]) -> bool:
        """Return whether a conversation's tokens differ from those of the template's complete text.

        Args:
            messages: a conversation that ends with an assistant's turn.
            ids: its tokens, as `encode` returns them.
        """
        whole = self.tokens(self._render(messages, prompt=False))
        return list(ids) != whole[: len(ids)]

    def answer_ids(self, text: str) -> list[int]:
        """Return the tokens of an answer as they follow a prompt, without the stop token."""
        if self._writes_calls and only_call(text):
            whole = self._render(
                (Message(role="user", content=_MARK), Message(role="assistant", content=text)), prompt=False
            )
            return self._continuation_ids(self._sample_prompt, self._split_turn(self._sample_prompt, whole)[0])
        return self._continuation_ids(self._sample_prompt, self._turn_prefix + self.escape_special_tokens(text))

    def escape_special_tokens(self, text: str) -> str:
        """Return a text without special tokens: a space is inserted after their first character.

        Otherwise text of an environment or an expert, such as `<|im_end|>`, would end a turn or begin another one.
        """
        return self._special_pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text within a conversation: without tokens for its beginning or end."""
        if self._backend is not None:
            found: list[int] = self._backend.encode(text, add_special_tokens=False).ids
            return found
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, ids: Sequence[int]) -> str:
        """Decode a turn's tokens, without stop token and other special tokens.

        Special tokens that mark reasoning are kept: without them an answer couldn't be separated from the reasoning
        before it.
        """
        return self._visible(ids).removeprefix(self._turn_prefix)

    def _visible(self, ids: Sequence[int]) -> str:
        return self._decode([token for token in ids if token not in self._hidden_ids])

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _new_prompt(self, messages: Conversation) -> Prompt:
        """Build a prompt from the one for the turn before (`_prompt` caches them)."""
        text = self._render(messages, prompt=True)
        last = max((index for index, message in enumerate(messages) if message.role == "assistant"), default=None)
        if last is None:
            return Prompt(text, tuple(self.tokens(text)), ())
        earlier = self._prompt(messages[:last])
        rendered, context = self._split_turn(earlier.text, text)
        turn = self._turn_ids(messages[last], rendered)
        start, end = len(earlier.ids), len(earlier.ids) + len(turn)
        stop = () if turn and turn[-1] in self.end_ids else self.stop_ids
        ids = (*earlier.ids, *turn, *stop, *self._continuation_ids(self._stop_text, context))
        return Prompt(text, ids, (*earlier.turns, (start, end)))

    def _turn_ids(self, message: Message, rendered: str) -> list[int]:
        """Return a turn's tokens, given the text that the template makes of it."""
        if (sampled := self._sampled_ids(message)) is not None:
            return list(sampled)
        if not (self.escape_special_tokens(message.content).strip() in rendered or self._is_call(message, rendered)):
            raise ConfigError(
                f"the chat template turns the answer {message.content!r} into {rendered!r}",
                "Leave out reasoning (format.reasoning: drop) or thoughts (format.thoughts: false), or put another "
                "chat template into its folder.",
                code="template-changes-answer",
                answer=message.content,
                rendered=rendered,
            )
        return [*self._continuation_ids(self._sample_prompt, rendered), *self.stop_ids]

    def _is_call(self, message: Message, rendered: str) -> bool:
        """Return whether the template wrote a turn's call in its own notation."""
        call = only_call(message.content) if self._writes_calls else None
        return call is not None and only_call(rendered) == escaped(call, self.escape_special_tokens)

    def _weighted_range(self, message: Message, turn: list[int]) -> tuple[int, int]:
        """Return start and exclusive end of the tokens of a turn that have its weight."""
        if not (message.unweighted_prefix_chars or message.unweighted_suffix_chars):
            return 0, len(turn)
        content, read = message.content, self._visible
        # The model may have sampled what the template writes before an answer, such as an empty `<think>` block.
        before = len(self._turn_prefix) if read(turn).startswith(self._turn_prefix) else 0
        if self._sampled_ids(message) is None:
            read = self._decode
            content = self.escape_special_tokens(content)
            # Templates may strip an answer, and write something before it.
            before = max(0, read(turn).find(content.strip())) - (len(content) - len(content.lstrip()))

        def place(characters: int) -> int:
            start = message.content[:characters]
            return before + len(start if self._sampled_ids(message) is not None else self.escape_special_tokens(start))

        prefix = message.unweighted_prefix_chars
        start = _tokens_within(read, turn, place(prefix)) if prefix else 0
        if not message.unweighted_suffix_chars:
            return start, len(turn)
        # Tokens up to the last weighted character, exclusive, and the one that contains it.
        end = _tokens_within(read, turn, place(len(message.content) - message.unweighted_suffix_chars) - 1) + 1
        return start, max(start, min(end, len(turn)))

    def _sampled_ids(self, message: Message) -> Sequence[int] | None:
        """Return the sampled tokens of a turn, if they are known and of this tokenizer's vocabulary."""
        return message.token_ids if message.tokenizer == self.fingerprint else None

    def _split_turn(self, earlier: str, text: str) -> tuple[str, str]:
        """Split the text after an earlier prompt into the turn that answers it and the text after its stop token."""
        turn, stop, rest = text[len(earlier) :].partition(self._stop_text)
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

    def _turn_delimiters(self) -> tuple[str, str]:
        """Return the text that the template writes between a prompt and the answer, and the one after the answer."""
        question = Message(role="user", content=_MARK)
        full = self._render((question, Message(role="assistant", content=_MARK)), prompt=False)
        prefix, mark, tail = full.removeprefix(self._sample_prompt).partition(_MARK)
        # A turn ends with the first special token after the answer.
        special = [(tail.index(token), token) for token in self._special_tokens() if token in tail]
        if not (full.startswith(self._sample_prompt) and mark and special):
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
            turn, result = self._split_turn(self._sample_prompt, written)
        except Exception:  # templates reject by raising any exception
            return False
        return ours not in turn and only_call(turn) == PROBE and _MARK in result

    def _special_tokens(self) -> set[str]:
        added = self.tokenizer.added_tokens_decoder.values()
        return {*self.tokenizer.all_special_tokens, *(token.content for token in added if token.special)}

    def _special_ids(self) -> set[int]:
        added = self.tokenizer.added_tokens_decoder.items()
        return {*self.tokenizer.all_special_ids, *(number for number, token in added if token.special)}

    def _reasoning_ids(self) -> set[int]:
        added = self.tokenizer.added_tokens_decoder.items()
        return {number for number, token in added if is_reasoning_mark(token.content)} - self.end_ids

    def _rejects_system(self) -> bool:
        head = [{"role": "system", "content": "SYSTEM"}, {"role": "user", "content": _MARK}]
        following = [{"role": "assistant", "content": _MARK}, {"role": "user", "content": _MARK}]
        try:
            first = self._apply_template(head, prompt=False)
            # Templates of Mistral models would move it to each later message of the user.
            return "SYSTEM" not in first or not self._apply_template([*head, *following], prompt=True).startswith(first)
        except Exception:  # templates reject by raising any exception
            return True

    def _render(self, messages: Conversation, *, prompt: bool) -> str:
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

    def _new_head(self, messages: Conversation) -> tuple[str, str]:
        """Return the text of a system message and the first observation, without and with the tools."""
        plain, head = (self._written(messages, tools, False) for tools in ((), messages[0].tools))
        if plain == head:
            warnings.warn(
                EefWarning(
                    "the chat template writes no tools: the model isn't told which ones it may call",
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
        text = self.tokenizer.apply_chat_template(
            messages, tools=list(tools) or None, tokenize=False, add_generation_prompt=prompt
        )
        return str(text)

    def _continuation_ids(self, before: str, text: str) -> list[int]:
        """Return a text's tokens as they follow another text.

        They are the text's own tokens where the two texts together would change the tokens of the first one.
        """
        if not text:
            return []
        first, both = self.tokens(before), self.tokens(before + text)
        return both[len(first) :] if both[: len(first)] == first else self.tokens(text)


def _tokens_within(read: Callable[[Sequence[int]], str], turn: Sequence[int], length: int) -> int:
    """Return the number of leading tokens that decode to at most the given number of characters."""
    longer = bisect_left(range(1, len(turn) + 1), True, key=lambda count: len(read(turn[:count])) > length)
    # The number of characters may fall again: an incomplete character can decode to several replacement characters.
    near = range(longer, min(longer + _MAX_TOKENS_PER_CHARACTER, len(turn)) + 1)
    return max(count for count in near if count == longer or len(read(turn[:count])) <= length)


def _backend(tokenizer: Any) -> Any | None:
    """Return the Rust tokenizer, with truncation and padding disabled; None if the tokenizer has none.

    Calling it directly halves the time, and it is called for every turn.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None) if tokenizer.is_fast else None
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    return backend
