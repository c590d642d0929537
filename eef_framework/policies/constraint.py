"""Constrained decoding: restricts the next tokens so that an answer is an admissible action."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, Protocol

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.records import FreeText, Observation

Allowed = tuple[int, ...] | Any
"""Token ids in ascending order, or a mask over the whole vocabulary (a tensor of bool)."""


class State(Protocol):
    """A decoding state within an answer."""

    def allowed(self, left: int) -> Allowed:
        """Return the tokens allowed next, with at most `left` more to come."""

    def after(self, token: int) -> State | None:
        """Return the state after a token; None if the answer ends."""


class Branch:
    """A node in the trie of all admissible actions.

    Args:
        children: the node that each allowed token leads to.
    """

    def __init__(self, children: dict[int, State | None]) -> None:
        self.children = children
        self.tokens = tuple(sorted(children))

    def allowed(self, left: int) -> Allowed:
        """Return the tokens of the children. An action is completed regardless of its length."""
        return self.tokens

    def after(self, token: int) -> State | None:
        """Follow a token."""
        return self.children[token]


class Free:
    """A state within the free-text part of an action.

    Args:
        first: mask of the tokens it may start with.
        further: mask of the tokens that may follow them: the same, blank ones, and the one that closes the part.
        closing: the tokens that must follow the part, stop token included.
        started: whether the part has a token already.
    """

    def __init__(self, first: Any, further: Any, closing: Sequence[int], started: bool = False) -> None:
        self.first, self.further, self.closing, self.started = first, further, closing, started

    def allowed(self, left: int) -> Allowed:
        """Return ordinary tokens and, after the first, the one that closes the part; only that one near the limit."""
        if not self.started:
            return self.first
        return (self.closing[0],) if left <= len(self.closing) else self.further

    def after(self, token: int) -> State | None:
        """Follow a token."""
        if self.started and token == self.closing[0]:
            return _chain(self.closing[1:])
        return Free(self.first, self.further, self.closing, started=True)


class Constraints:
    """Creates constraints for one tokenizer, and caches them by the actions they allow.

    Args:
        chat: the tokenizer.
        vocabulary: number of logits of the model; often larger than the number of tokens.
        device: the device for masks.
    """

    def __init__(self, chat: ChatTokenizer, vocabulary: int, device: str) -> None:
        self._chat, self._vocabulary, self._device = chat, vocabulary, device
        self._remembered = lru_cache(maxsize=4096)(self._tree)
        self._masks = lru_cache(maxsize=64)(self._new_masks)

    def start(self, observation: Observation) -> State | None:
        """Return the initial state of an answer to an observation; None if it is unconstrained.

        Actions that the vocabulary can't express can't be allowed. If none is left, the answer is unconstrained.
        """
        if observation.actions is None:
            return None
        return self._remembered(observation.actions, observation.free)

    @cached_property
    def meaningful(self) -> Any | None:
        """Mask of the logits that represent a token; None if all do."""
        import torch

        size = len(self._chat.tokenizer)
        return torch.arange(self._vocabulary, device=self._device) < size if size < self._vocabulary else None

    def _tree(self, actions: tuple[str, ...], free: tuple[FreeText, ...]) -> State | None:
        stop, unknown = self._chat.stop_ids, self._chat.tokenizer.unk_token_id
        tree: dict[int, Any] = {}
        for action in actions:
            ids = self._chat.answer_ids(action)
            if ids and unknown not in ids:
                _insert(tree, [*ids, *stop], None)
        for form in free:
            ids, suffix = self._chat.answer_ids(form.prefix), self._chat.tokens(form.suffix)
            if unknown in [*ids, *suffix]:
                continue
            closing = (*suffix, *stop)
            place = Free(*self._masks(form, closing[0]), closing)
            if not ids:
                return place  # any text is admissible
            _insert(tree, ids, place)
        return _frozen(tree) if tree else None

    def _new_masks(self, form: FreeText, closing: int) -> tuple[Any, Any]:
        """Return masks of the tokens that a free part may start and continue with."""
        import torch

        tokenizer = self._chat.tokenizer
        size, special = len(tokenizer), {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
        texts = tokenizer.batch_decode([[token] for token in range(size)], clean_up_tokenization_spaces=False)
        # A token that contains the suffix would end the part in its middle; the prefix would start another.
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


def _insert(tree: dict[int, Any], ids: Sequence[int], end: State | None) -> None:
    """Add a path to a tree of dictionaries. Anything after a free part is already included in it."""
    for token in ids[:-1]:
        tree = tree.setdefault(token, {})
        if isinstance(tree, Free):
            return
    tree[ids[-1]] = end


def _frozen(tree: dict[int, Any]) -> Branch:
    return Branch({token: _frozen(below) if isinstance(below, dict) else below for token, below in tree.items()})


def _chain(ids: Sequence[int]) -> State | None:
    return Branch({ids[0]: _chain(ids[1:])}) if ids else None
