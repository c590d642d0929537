"""Turns a conversation into tokens and a loss mask, for both acting and training.

A conversation's tokens are joined from pieces: what the template writes up to an assistant's turn, the turn, what it
writes up to the next one, and so on. A turn's tokens are the sampled ones, if known; so a model is trained on exactly
what it was shown and what it answered, token by token. Which tokens belong to a turn is known by construction, without
searching in a finished text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from eef_framework.chat.reasoning import is_reasoning_mark
from eef_framework.errors import ConfigError
from eef_framework.records import Conversation, Message, fingerprint

_TOKENS_PER_CHARACTER = 8
"""More tokens than any character has."""
_MARK = "MARK"
_OTHER_TEMPLATE = "Choose an instruction-tuned model, or put another chat template into its tokenizer's folder."


class Encoded(NamedTuple):
    """A conversation as tokens."""

    ids: list[int]
    weights: list[float]
    """Loss weight of each token; 0 where it isn't trained on."""


class Prompt(NamedTuple):
    """A conversation to be answered."""

    text: str
    """The text that the template renders."""
    ids: tuple[int, ...]
    """The model's input: turns are represented by their sampled tokens."""
    turns: tuple[tuple[int, int], ...]
    """Start and end of each assistant turn in the tokens."""


class ChatTokenizer:
    """A tokenizer together with its chat template.

    Args:
        tokenizer: a transformers tokenizer with a chat template.

    Attributes:
        tokenizer: the same.
        fingerprint: identifies the vocabulary: under equal fingerprints, equal token ids mean the same.
        stop_ids: tokens that the template ends an assistant turn with, usually one.
        end_ids: each of these tokens, when sampled, ends a turn.

    Raises:
        ConfigError: the chat template is missing, or doesn't end assistant turns with a special token.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._backend = _backend(tokenizer)
        self.fingerprint = fingerprint("\n".join(f"{i} {t}" for t, i in sorted(tokenizer.get_vocab().items())))
        longest_first = sorted((token for token in self._special() if len(token) > 1), key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._folds_system = self._refuses_system()
        self._opening = self._render((Message(role="user", content=_MARK),), prompt=True)
        self._lead, self._stop = self._frame()
        self.stop_ids = tuple(self.tokens(self._stop))
        self.end_ids = frozenset({self.stop_ids[-1], tokenizer.eos_token_id} - {None})
        self._left_out = self._special_ids() - self._reasoning_ids()
        self._prompt = lru_cache(maxsize=1024)(self._new_prompt)

    def prompt(self, conversation: Conversation) -> Prompt:
        """Return the model's input for answering a conversation's last message.

        Raises:
            ConfigError: the template rewrites earlier messages as the conversation goes on.
        """
        return self._prompt(tuple(conversation))

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        """Return the tokens of `prompt`."""
        return list(self.prompt(conversation).ids)

    def encode(self, messages: Conversation) -> Encoded:
        """Return tokens and loss weights of a conversation that ends with an assistant's turn.

        A turn's weight applies to its tokens, stop token included, but not to those of its unweighted start and end; a
        partly unweighted token has loss. Text that the template puts before a turn has no weight; nor has a stop token
        that is added after an earlier turn that was cut off.

        Raises:
            ConfigError: the template rewrites earlier messages, or the turn that is to be trained.
        """
        prompt = self.prompt(messages[:-1])
        full = self._render(messages, prompt=False)
        last = self._turn(messages[-1], self._behind(prompt.text, full)[0])
        ids = [*prompt.ids, *last]
        weights = [0.0] * len(ids)
        answers = [message for message in messages if message.role == "assistant"]
        for message, (start, end) in zip(answers, [*prompt.turns, (len(prompt.ids), len(ids))], strict=True):
            if message.weight:
                learned, unlearned = self._learned(message, ids[start:end])
                weights[start + learned : start + unlearned] = [message.weight] * (unlearned - learned)
        return Encoded(ids, weights)

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
        return self._continued(self._opening, self._lead + self.harmless(text))

    def harmless(self, text: str) -> str:
        """Return a text without special tokens: a space is inserted after their first character.

        Otherwise text from a page or an expert, such as `<|im_end|>`, would end a turn or begin another one.
        """
        return self._control.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    def tokens(self, text: str) -> list[int]:
        """Return a text's tokens as they are in the middle of a conversation."""
        if self._backend is not None:
            found: list[int] = self._backend.encode(text, add_special_tokens=False).ids
            return found
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, ids: Sequence[int]) -> str:
        """Decode a turn's tokens, without stop token and other special tokens.

        Special tokens that mark reasoning are kept: without them an answer couldn't be separated from the reasoning
        before it.
        """
        shown = [token for token in ids if token not in self._left_out]
        return self._decoded(shown).removeprefix(self._lead)

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _new_prompt(self, messages: Conversation) -> Prompt:
        """Build a prompt on the one for the turn before (`_prompt` remembers them)."""
        text = self._render(messages, prompt=True)
        last = max((index for index, message in enumerate(messages) if message.role == "assistant"), default=None)
        if last is None:
            return Prompt(text, tuple(self.tokens(text)), ())
        earlier = self._prompt(messages[:last])
        shown, context = self._behind(earlier.text, text)
        turn = self._turn(messages[last], shown)
        start, end = len(earlier.ids), len(earlier.ids) + len(turn)
        stop = () if turn and turn[-1] in self.end_ids else self.stop_ids
        ids = (*earlier.ids, *turn, *stop, *self._continued(self._stop, context))
        return Prompt(text, ids, (*earlier.turns, (start, end)))

    def _turn(self, message: Message, shown: str) -> list[int]:
        """Return a turn's tokens, given how the template writes it."""
        if (sampled := self._sampled(message)) is not None:
            return list(sampled)
        if self.harmless(message.content).strip() not in shown:
            raise ConfigError(
                f"the chat template turns the answer {message.content!r} into {shown!r}",
                "Train without thoughts (format.thoughts: false), or put another chat template into its folder.",
                code="template-changes-answer",
                answer=message.content,
                shown=shown,
            )
        return [*self._continued(self._opening, shown), *self.stop_ids]

    def _learned(self, message: Message, turn: list[int]) -> tuple[int, int]:
        """Return where the tokens of a turn that get loss start and end."""
        if not (message.unweighted_prefix_chars or message.unweighted_suffix_chars):
            return 0, len(turn)
        content, read, before = message.content, self.text, 0
        if self._sampled(message) is None:
            read = self._decoded
            content = self.harmless(content)
            # Templates may strip an answer, and write something in front of it.
            before = max(0, read(turn).find(content.strip())) - (len(content) - len(content.lstrip()))

        def place(characters: int) -> int:
            start = message.content[:characters]
            return before + len(start if self._sampled(message) is not None else self.harmless(start))

        prefix = message.unweighted_prefix_chars
        start = _tokens_within(read, turn, place(prefix)) if prefix else 0
        if not message.unweighted_suffix_chars:
            return start, len(turn)
        # The token with the last learned character is the one after those without it.
        end = _tokens_within(read, turn, place(len(message.content) - message.unweighted_suffix_chars) - 1) + 1
        return start, max(start, min(end, len(turn)))

    def _sampled(self, message: Message) -> Sequence[int] | None:
        """Return the tokens of a turn, if they are known, and this tokenizer's."""
        return message.token_ids if message.tokenizer == self.fingerprint else None

    def _behind(self, earlier: str, text: str) -> tuple[str, str]:
        """Split the text after an earlier prompt into the turn that answers it and the text after its stop token."""
        turn, stop, rest = text[len(earlier) :].partition(self._stop)
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

    def _frame(self) -> tuple[str, str]:
        """Find what the template writes between the prompt and an answer, and what it ends the answer with."""
        asked = Message(role="user", content=_MARK)
        full = self._render((asked, Message(role="assistant", content=_MARK)), prompt=False)
        lead, mark, tail = full.removeprefix(self._opening).partition(_MARK)
        special = [(tail.index(token), token) for token in self._special() if token in tail]
        if not (full.startswith(self._opening) and mark and special):
            raise ConfigError(
                f"the chat template writes an assistant's turn as {full!r}, not as prompt, answer, special token",
                _OTHER_TEMPLATE,
                code="template-without-turns",
            )
        place, token = min(special)
        return lead, tail[:place] + token

    def _special(self) -> set[str]:
        added = self.tokenizer.added_tokens_decoder.values()
        return {*self.tokenizer.all_special_tokens, *(token.content for token in added if token.special)}

    def _special_ids(self) -> set[int]:
        added = self.tokenizer.added_tokens_decoder.items()
        return {*self.tokenizer.all_special_ids, *(number for number, token in added if token.special)}

    def _reasoning_ids(self) -> set[int]:
        added = self.tokenizer.added_tokens_decoder.items()
        return {number for number, token in added if is_reasoning_mark(token.content)} - self.end_ids

    def _refuses_system(self) -> bool:
        messages = [{"role": "system", "content": "SYSTEM"}, {"role": "user", "content": _MARK}]
        try:
            return "SYSTEM" not in self._template(messages, prompt=True)
        except Exception:  # templates reject by raising any exception
            return True

    def _render(self, messages: Conversation, *, prompt: bool) -> str:
        """Return the text the template makes of messages, ready for an answer if it is to be a prompt."""
        plain = [{"role": message.role, "content": self.harmless(message.content)} for message in messages]
        if self._folds_system and len(plain) > 1 and plain[0]["role"] == "system":
            instructions = plain.pop(0)["content"]
            plain[0]["content"] = f"{instructions}\n\n{plain[0]['content']}"
        try:
            return self._template(plain, prompt=prompt)
        except Exception as cause:  # templates are programs and may raise any exception
            raise ConfigError(
                f"the chat template failed: {type(cause).__name__}: {cause}", _OTHER_TEMPLATE, code="template-failed"
            ) from cause

    def _template(self, messages: list[dict[str, str]], *, prompt: bool) -> str:
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
        return str(text)

    def _continued(self, before: str, text: str) -> list[int]:
        """Return a text's tokens after another text, if they don't change the other text's tokens."""
        if not text:
            return []
        first, both = self.tokens(before), self.tokens(before + text)
        return both[len(first) :] if both[: len(first)] == first else self.tokens(text)


def _tokens_within(read: Callable[[Sequence[int]], str], turn: Sequence[int], length: int) -> int:
    """Return the number of leading tokens that decode to at most the given number of characters."""
    longer = bisect_left(range(1, len(turn) + 1), True, key=lambda count: len(read(turn[:count])) > length)
    # A character that is cut in its middle may take more characters than when it is complete.
    near = range(longer, min(longer + _TOKENS_PER_CHARACTER, len(turn)) + 1)
    return max(count for count in near if count == longer or len(read(turn[:count])) <= length)


def _backend(tokenizer: Any) -> Any | None:
    """Return the Rust tokenizer, with truncation and padding disabled; None for other tokenizers.

    It is called for every turn, and going through its wrapper takes twice as long.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None) if tokenizer.is_fast else None
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    return backend
