"""Batched decoding with results that don't depend on the batch; batched scoring of given answers.

The sequences of a batch are padded on the left, share a KV cache, and leave it when they are finished. Padding and
batch size change the last digits of logits. If that could change a sample, the logits are recomputed for that sequence
alone, without padding, which gives the same result in every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from eef_framework._compat.transformers import empty_cache
from eef_framework.errors import PolicyFailure
from eef_framework.policies.capabilities import Capabilities, capabilities
from eef_framework.policies.decoding_state import DecodingState
from eef_framework.policies.kv_cache import merged, selected
from eef_framework.policies.logits_cache import LogitsCache
from eef_framework.policies.model_pass import ModelPass, Statistics
from eef_framework.policies.prefix_cache import PrefixCache, PrefixMatch, assembled
from eef_framework.policies.sampling import Sample, SamplingRequest, sample
from eef_framework.policies.scoring_state import ScoringState

if TYPE_CHECKING:
    from torch import Tensor

_COMPACTION = 0.75
"""Finished rows are removed from the KV cache, which copies the others, when at most this share is unfinished."""
_PADDING = 0.125
"""Maximum share of padding in a row when prompts of several lengths are computed at once..."""
_PADDING_TOKENS = 16
"""...unless the padding is at most this many tokens."""
_LOGITS_BYTES = 1 << 26
"""Maximum size of the logits that are held at once when answers are scored."""

State = TypeVar("State", DecodingState, ScoringState)


class Engine:
    """Completes batches of prompts with one model.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        pad: any token, used for padding.
        tie_margin: how much batching may change a logit. Samples within this margin are recomputed unbatched.
        logits_cache: for repeated prompts.
        prefix_cache: for prompts that continue others.
        able: capabilities of the model; None to determine them by trying.
    """

    def __init__(
        self,
        model: Any,
        pad: int,
        tie_margin: float,
        logits_cache: LogitsCache,
        prefix_cache: PrefixCache,
        able: Capabilities | None = None,
    ) -> None:
        self.model = model
        self.tie_margin = tie_margin
        self.logits_cache = logits_cache
        self.prefix_cache = prefix_cache
        self.statistics = Statistics()
        self.able = able or capabilities(model)
        self.model_pass = ModelPass(model, pad, self.able, self.statistics)

    def stop(self) -> None:
        """End the work in progress, which raises `PolicyFailure` before its next pass."""
        self.model_pass.stopped = True

    def complete(self, states: Sequence[DecodingState]) -> None:
        """Complete all answers in one batch.

        Raises:
            PolicyFailure: the model's logits aren't numbers, its device is out of memory, or the engine was stopped.
        """
        import torch

        with torch.inference_mode():
            uncached = self._decode_from_cache([state for state in states if not state.done])
            if uncached:
                self._within_memory(self._decode, uncached)

    def score(self, states: Sequence[ScoringState]) -> None:
        """Score all answers in one batch.

        Raises:
            PolicyFailure: the model's logits aren't numbers, its device is out of memory, or the engine was stopped.
        """
        import torch

        with torch.inference_mode():
            wanted = [state for state in states if not state.done]
            if wanted:
                self._within_memory(self._score, wanted)

    def _within_memory(self, work: Callable[[list[State]], None], states: list[State]) -> None:
        """Work in one batch, or in smaller ones if the device's memory isn't sufficient."""
        import torch

        try:
            work(states)
        except torch.OutOfMemoryError as cause:
            if len(states) == 1:
                raise PolicyFailure(
                    f"a prompt of {len(states[0].request.prompt)} tokens is too long for the device's memory",
                    "Use a shorter history (format.history), or a smaller model.",
                    code="out-of-memory",
                    tokens=len(states[0].request.prompt),
                ) from cause
            half = len(states) // 2
        else:
            return
        for part in (states[:half], states[half:]):
            self._within_memory(work, [state for state in part if not state.done])

    def _decode_from_cache(self, states: list[DecodingState]) -> list[DecodingState]:
        """Decode as far as cached logits allow. Returns the answers that need the model."""
        import torch

        uncached: list[DecodingState] = []
        while states:
            found = [(state, self.logits_cache.get(state.ids)) for state in states]
            uncached += [state for state, logits in found if logits is None]
            states = [state for state, logits in found if logits is not None]
            if states:
                self.statistics.cached += len(states)
                self._sample(states, torch.stack([logits for _, logits in found if logits is not None]))
            states = [state for state in states if not state.done]
        return uncached

    def _decode(self, states: list[DecodingState]) -> None:
        while states:
            self.statistics.batches += 1
            states = self._decode_batch(states) if self.able.padding else self._decode_first(states)

    def _decode_first(self, states: list[DecodingState]) -> list[DecodingState]:
        """Complete the first answer by itself, without padding. Returns the others.

        A model with a recurrent state takes tokens one at a time after its prompt: several at once reset the state.
        """
        import torch

        state, *others = states
        cache = empty_cache(self.model.config) if self.able.cache else None
        processed = 0
        while not state.done:
            ids = torch.tensor([state.ids], device=self.model.device)  # (1, tokens)
            ends = range(processed + 1, len(state.ids) + 1) if processed else (len(state.ids),)
            for end in ends:
                positions = torch.arange(processed, end, device=ids.device)[None]  # (1, new)
                logits = self.model_pass.run(ids[:, processed:end], positions, cache)  # (1, vocabulary)
                processed = end if cache is not None else 0
            self.logits_cache.put(state.ids, logits[0])
            self._sample([state], logits)
        return others

    def _decode_batch(self, states: list[DecodingState]) -> list[DecodingState]:
        """Complete answers in one batch. Returns those that have to be restarted, because they would have gaps."""
        logits, cache, mask = self._prefill(states)  # (states, vocabulary); mask: (rows, positions)
        for state in states:
            state.processed = len(state.new)
        postponed: list[DecodingState] = []
        rows = list(range(len(states)))  # the cache's row of each state
        while True:
            for state, last in zip(states, logits, strict=True):
                self.logits_cache.put(state.ids, last)
            self._sample(states, logits)
            for state, row in zip(states, rows, strict=True):
                if state.done:
                    self.prefix_cache.keep(state.request.prompt, state.processed_ids, cache, row, mask[row])
            rows = [row for state, row in zip(states, rows, strict=True) if not state.done]
            states = [state for state in states if not state.done]
            if not self.able.gaps:
                postponed += [state for state in states if len(state.new) - state.processed > 1]
                rows = [row for state, row in zip(states, rows, strict=True) if len(state.new) - state.processed == 1]
                states = [state for state in states if len(state.new) - state.processed == 1]
            if not states:
                return postponed
            if len(states) <= _COMPACTION * len(mask):
                mask, rows = selected(cache, mask, rows), list(range(len(states)))
            logits, mask = self._extend(states, rows, cache, mask)

    def _score(self, states: list[ScoringState]) -> None:
        self.statistics.batches += 1
        if self.able.gaps:
            self._score_batch(states)
        else:
            for group in [states] if self.able.padding else [[state] for state in states]:
                self._score_uncached(group)
        for state in states:
            if any(logprob != logprob for logprob in state.logprobs):
                raise _not_a_number()
            state.done = True

    def _score_batch(self, states: list[ScoringState]) -> None:
        """Score answers in one batch. Each distinct prompt is processed once."""
        import torch

        logits, cache, mask = self._prefill(states)  # (states, vocabulary); mask: (states, positions)
        for state, first in zip(states, logits, strict=True):
            state.add(0, first)
        for prompt, row in {state.ids: row for row, state in enumerate(states)}.items():
            self.prefix_cache.keep(prompt, prompt, cache, row, mask[row])
        width = max(1, _LOGITS_BYTES // (4 * logits.numel()))  # tokens of each answer at once
        longest = max(len(state.answer) for state in states)
        # The last token of an answer isn't processed: nothing follows it.
        for start in range(0, longest - 1, width):
            new = [state.answer[start : min(start + width, len(state.answer) - 1)] for state in states]
            ids, real = self.model_pass.padded(new)
            mask = torch.cat([mask, real], dim=1)
            logits = self.model_pass.forward(ids, mask, cache, real, keep=ids.shape[1])  # (states, new, vocabulary)
            for state, tokens, row_logits in zip(states, new, logits, strict=True):
                for index, each in enumerate(row_logits[len(row_logits) - len(tokens) :], start + 1):
                    state.add(index, each)

    def _score_uncached(self, states: list[ScoringState]) -> None:
        """Score answers from one pass over prompts and answers, padded on the left, without a cache."""
        longest = max(len(state.answer) for state in states)
        ids, mask = self.model_pass.padded([(*state.request.prompt, *state.answer[:-1]) for state in states])
        logits = self.model_pass.forward(ids, mask, None, mask, keep=longest)  # (states, longest, vocabulary)
        for state, row_logits in zip(states, logits, strict=True):
            for position, each in enumerate(row_logits[longest - len(state.answer) :]):
                state.add(position, each)

    def _prefill(self, states: Sequence[DecodingState] | Sequence[ScoringState]) -> tuple[Tensor, Any, Tensor]:
        """Run the uncached parts of the prompts through the model, each distinct prompt once.

        Returns:
            Logits after each state's tokens `(states, vocabulary)`, the KV cache with one row per state, and the mask
            of its positions `(states, positions)`.
        """
        import torch

        sequences = list(dict.fromkeys(state.ids for state in states))
        starts = {state.ids: (*state.request.earlier, len(state.request.prompt)) for state in states}
        matches = [self._match(ids, starts[ids]) for ids in sequences]
        if self.able.gaps and (shared := self.prefix_cache.shared_prefix(sequences, matches)):
            _, cache, _ = self._prefill_group([shared], [self.prefix_cache.find(shared, ())])
            self.prefix_cache.keep_shared(shared, cache)
            matches = [self.prefix_cache.find(ids, starts[ids]) for ids in sequences]
        groups = self._groups([len(ids) - match.length for ids, match in zip(sequences, matches, strict=True)])
        done = [self._prefill_group([sequences[i] for i in group], [matches[i] for i in group]) for group in groups]
        cache, mask = merged([each[1] for each in done], [each[2] for each in done], self.model.config)
        # The rows are in the order of the groups: one for each distinct sequence.
        row = {sequences[i]: row for row, i in enumerate(i for group in groups for i in group)}
        index = [row[state.ids] for state in states]
        logits = torch.cat([each[0] for each in done])  # (sequences, vocabulary)
        logits = logits[torch.tensor(index, device=self.model.device)]  # (states, vocabulary)
        if index != list(range(len(mask))):
            mask = selected(cache, mask, index)
        return logits, cache, mask

    def _match(self, ids: tuple[int, ...], starts: Sequence[int]) -> PrefixMatch:
        return self.prefix_cache.find(ids, starts) if self.able.gaps else PrefixMatch()

    def _groups(self, lengths: list[int]) -> list[list[int]]:
        """Split sequences into groups of similar length to limit padding.

        Args:
            lengths: number of new tokens of each sequence.

        Returns:
            The indices in each group.
        """
        order = sorted(range(len(lengths)), key=lambda index: lengths[index])
        if not self.able.gaps:
            return [order]
        groups = [[order[0]]]
        for index in order[1:]:
            shortest = lengths[groups[-1][0]]
            if lengths[index] - shortest > max(_PADDING * lengths[index], _PADDING_TOKENS):
                groups.append([])
            groups[-1].append(index)
        return groups

    def _prefill_group(
        self, sequences: list[tuple[int, ...]], matches: list[PrefixMatch]
    ) -> tuple[Tensor, Any, Tensor]:
        """Run the uncached parts of some sequences through the model.

        Returns:
            Logits `(sequences, vocabulary)`, the KV cache, and the mask of its positions `(sequences, positions)`.
        """
        import torch

        ids, real = self.model_pass.padded([ids[match.length :] for ids, match in zip(sequences, matches, strict=True)])
        cache, mask = assembled(matches, ids.shape[1], self.model.config, self.model.device)
        mask = torch.cat([mask, real], dim=1)  # (sequences, cached + new)
        return self.model_pass.forward(ids, mask, cache, real), cache, mask

    def _extend(self, states: list[DecodingState], rows: list[int], cache: Any, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Run the tokens that the model hasn't processed yet; some answers may have more of them than others.

        Args:
            states: the answers to continue.
            rows: the cache's row of each; in all other rows padding is added.
            cache: extended in place.
            mask: of its positions, `(rows, positions)`.

        Returns:
            Logits `(states, vocabulary)`, and the mask with the new positions.
        """
        import torch

        new: list[Sequence[int]] = [()] * len(mask)
        for state, row in zip(states, rows, strict=True):
            new[row] = state.new[state.processed :]
            state.processed = len(state.new)
        ids, real = self.model_pass.padded(new)
        mask = torch.cat([mask, real], dim=1)
        logits = self.model_pass.forward(ids, mask, cache, real)
        return (logits if len(states) == len(mask) else logits[rows]), mask

    def _sample(self, states: list[DecodingState], logits: Tensor) -> None:
        """Append a sample to each answer, from logits `(states, vocabulary)`."""
        requests = [state.sampling_request() for state in states]
        for state, request, sampled in zip(states, requests, sample(logits, requests), strict=True):
            self.statistics.samples += 1
            if sampled.margin < self.tie_margin:
                sampled = self._sample_unbatched(state, request)
            if sampled.margin != sampled.margin:
                raise _not_a_number()
            state.append(sampled)

    def _sample_unbatched(self, state: DecodingState, request: SamplingRequest) -> Sample:
        """Sample from logits of one sequence alone, without padding and cache."""
        import torch

        self.statistics.recomputed += 1
        ids = torch.tensor([list(state.ids)], device=self.model.device)  # (1, tokens)
        mask = torch.ones_like(ids)
        return sample(self.model_pass.forward(ids, mask, None, mask), [request])[0]


def _not_a_number() -> PolicyFailure:
    return PolicyFailure(
        "the model's logits aren't numbers", "Its training diverged: lower the learning rate.", code="not-a-number"
    )
