"""Constrained decoding: restricts the next tokens so that an answer is an admissible action."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.records import FreeText, Observation

if TYPE_CHECKING:
    from torch import Tensor

Allowed: TypeAlias = "tuple[int, ...] | Tensor"
"""Token ids in ascending order, or a mask over the vocabulary: bool, `(vocabulary,)`."""


class Constraint(Protocol):
    """What a constrained answer may continue with. Immutable."""

    def allowed(self, left: int) -> Allowed:
        """Return the tokens allowed next, if at most `left` more tokens may be generated."""

    def after(self, token: int) -> Constraint | None:
        """Return the constraint after an allowed token; None if the answer ends with it."""


class TrieNode:
    """A node in the trie of all admissible actions.

    Args:
        children: the constraint that each allowed token leads to; None where the answer ends.
    """

    def __init__(self, children: dict[int, Constraint | None]) -> None:
        self.children = children
        self.tokens = tuple(sorted(children))

    def allowed(self, left: int) -> Allowed:
        """Return the tokens of the children. An action is completed even if it exceeds the limit."""
        return self.tokens

    def after(self, token: int) -> Constraint | None:
        """Return the child that a token leads to."""
        return self.children[token]


class FreeTextState:
    """The free-text part of an action.

    Args:
        first: mask of the tokens that it may start with, `(vocabulary,)`.
        further: mask of the tokens that may follow: the same, blank ones, and the one that closes it.
        closing: the tokens that must follow the free text, stop token included.
        started: whether it has a token already.
    """

    def __init__(self, first: Tensor, further: Tensor, closing: Sequence[int], started: bool = False) -> None:
        self.first, self.further, self.closing, self.started = first, further, closing, started

    def allowed(self, left: int) -> Allowed:
        """Return ordinary tokens and, after the first, the closing one; near the limit, only the closing one."""
        if not self.started:
            return self.first
        return (self.closing[0],) if left <= len(self.closing) else self.further

    def after(self, token: int) -> Constraint | None:
        """Return the constraint after a token: the rest of the closing tokens, or more free text."""
        if self.started and token == self.closing[0]:
            return _chain(self.closing[1:])
        return FreeTextState(self.first, self.further, self.closing, started=True)


class Constraints:
    """Creates constraints for one tokenizer, and caches them by the actions they allow.

    Args:
        chat: the tokenizer.
        vocabulary: number of logits of the model; often larger than the number of tokens.
        device: the device for masks.
    """

    def __init__(self, chat: ChatTokenizer, vocabulary: int, device: str) -> None:
        self._chat, self._vocabulary, self._device = chat, vocabulary, device
        self._cached_trie = lru_cache(maxsize=4096)(self._trie)
        self._cached_masks = lru_cache(maxsize=64)(self._masks)

    def start(self, observation: Observation) -> Constraint | None:
        """Return the constraint at the start of an answer to an observation; None if it is unconstrained.

        Actions that contain words outside the vocabulary can't be allowed. If none is left, the answer is
        unconstrained.
        """
        if observation.actions is None:
            return None
        return self._cached_trie(observation.actions, observation.free)

    def answer_ids(self, text: str, observation: Observation | None) -> list[int]:
        """Return the tokens of an answer as they would be sampled, stop token included.

        Args:
            text: the answer.
            observation: the state that a constrained answer is for; None if it is unconstrained.
        """
        forms = () if observation is None or text in (observation.actions or ()) else observation.free
        for form in forms:
            if form.matches(text):
                inner = text[len(form.prefix) : len(text) - len(form.suffix)]
                parts = (self._chat.answer_ids(form.prefix), self._chat.tokens(inner), self._chat.tokens(form.suffix))
                return [*(token for part in parts for token in part), *self._chat.stop_ids]
        return [*self._chat.answer_ids(text), *self._chat.stop_ids]

    @cached_property
    def known_tokens(self) -> Tensor | None:
        """Mask of the logits that represent a token, `(vocabulary,)`; None if all do."""
        import torch

        size = len(self._chat.tokenizer)
        return torch.arange(self._vocabulary, device=self._device) < size if size < self._vocabulary else None

    def _trie(self, actions: tuple[str, ...], free: tuple[FreeText, ...]) -> Constraint | None:
        stop, unknown = self._chat.stop_ids, self._chat.tokenizer.unk_token_id
        trie: dict[int, Any] = {}
        for action in actions:
            ids = self._chat.answer_ids(action)
            if ids and unknown not in ids:
                _insert(trie, [*ids, *stop], None)
        for form in free:
            ids, suffix = self._chat.answer_ids(form.prefix), self._chat.tokens(form.suffix)
            if unknown in [*ids, *suffix]:
                continue
            closing = (*suffix, *stop)
            state = FreeTextState(*self._cached_masks(form, closing[0]), closing)
            if not ids:
                return state  # any text is admissible
            _insert(trie, ids, state)
        return _frozen(trie) if trie else None

    def _masks(self, form: FreeText, closing: int) -> tuple[Tensor, Tensor]:
        """Return masks of the tokens that free text may start and continue with, both `(vocabulary,)`."""
        import torch

        tokenizer = self._chat.tokenizer
        size, special = len(tokenizer), {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
        texts = tokenizer.batch_decode([[token] for token in range(size)], clean_up_tokenization_spaces=False)
        # A token that contains the suffix would end the free text in the token's middle; the prefix would start another
        # action.
        marks = [part for part in (form.prefix.strip(), form.suffix.strip()) if part]
        ordinary = [
            token not in special and text.isprintable() and not any(mark in text for mark in marks)
            for token, text in enumerate(texts)
        ]
        further = torch.zeros(self._vocabulary, dtype=torch.bool)
        further[:size] = torch.tensor(ordinary)
        first = further.clone()
        first[:size] &= torch.tensor([bool(text.strip()) for text in texts])
        further[closing] = True
        return first.to(self._device), further.to(self._device)


def _insert(trie: dict[int, Any], ids: Sequence[int], end: Constraint | None) -> None:
    """Add a path to a trie of dictionaries. A path through free text isn't added: the free text includes it."""
    for token in ids[:-1]:
        trie = trie.setdefault(token, {})
        if isinstance(trie, FreeTextState):
            return
    trie[ids[-1]] = end


def _frozen(trie: dict[int, Any]) -> TrieNode:
    return TrieNode({token: _frozen(below) if isinstance(below, dict) else below for token, below in trie.items()})


def _chain(ids: Sequence[int]) -> Constraint | None:
    return TrieNode({ids[0]: _chain(ids[1:])}) if ids else None
