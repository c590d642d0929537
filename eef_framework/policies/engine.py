"""Batched decoding with results that don't depend on the batch.

Rows of a batch are padded on the left, share a cache, and leave it as they finish. Padding and batch size change the
last digits of logits; if that could change a choice, the logits are recomputed for the row alone, and that computation
is the same for every batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eef_framework.errors import PolicyFailure
from eef_framework.policies.cache import empty_cache, merged
from eef_framework.policies.capabilities import Capabilities, capabilities
from eef_framework.policies.choice import Draw, Pick, choose
from eef_framework.policies.memory import Memory
from eef_framework.policies.prefixes import Known, Prefixes, assembled
from eef_framework.policies.row import Row

_CROWD = 0.75
"""Finished rows are taken out of the cache, which copies the others, when at most this share is left."""
_PADDING = 0.125
"""Maximum share of padding in a row when prompts of several lengths are computed at once..."""
_FEW = 16
"""...unless the padding is at most this many tokens."""


@dataclass
class Statistics:
    """Statistics of an engine since its creation. Unlike a response, they depend on how requests were batched."""

    batches: int = 0
    tokens: int = 0
    """Tokens processed by the model, excluding padding."""
    choices: int = 0
    remembered: int = 0
    """Choices from cached logits."""
    recomputed: int = 0
    """Choices that were too close, and were recomputed unbatched."""


class Engine:
    """Answers batches of requests with one model.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        pad: any token, used for padding.
        tie_margin: how much batching may change a logit. Choices within this margin are recomputed unbatched.
        memory: cache of logits for repeated prompts.
        prefixes: cache of keys and values for continued prompts.
        able: capabilities of the model; None to determine them by trying.
    """

    def __init__(
        self,
        model: Any,
        pad: int,
        tie_margin: float,
        memory: Memory,
        prefixes: Prefixes,
        able: Capabilities | None = None,
    ) -> None:
        self.model = model
        self.pad = pad
        self.tie_margin = tie_margin
        self.memory = memory
        self.prefixes = prefixes
        self.statistics = Statistics()
        self.stopped = False
        """Cancellation flag, checked before each decoding step."""
        parameters = inspect.signature(model.forward).parameters
        self.able = able or capabilities(model)
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def complete(self, rows: Sequence[Row]) -> None:
        """Complete all rows in one batch.

        Raises:
            PolicyFailure: the model's logits aren't numbers, or the engine was stopped.
        """
        import torch

        with torch.inference_mode():
            unknown = self._recall([row for row in rows if not row.done])
            if unknown:
                self._decode_what_fits(unknown)

    def _decode_what_fits(self, rows: list[Row]) -> None:
        """Decode rows in one batch, or in smaller ones if the device's memory isn't sufficient."""
        import torch

        try:
            self._decode(rows)
        except torch.OutOfMemoryError as cause:
            if len(rows) == 1:
                raise PolicyFailure(
                    f"a prompt of {len(rows[0].request.prompt)} tokens is too long for the device's memory",
                    "Use a shorter history (format.history), or a smaller model.",
                    code="out-of-memory",
                    tokens=len(rows[0].request.prompt),
                ) from cause
            half = len(rows) // 2
        else:
            return
        for part in (rows[:half], rows[half:]):
            self._decode_what_fits([row for row in part if not row.done])

    def _recall(self, rows: list[Row]) -> list[Row]:
        """Decode as far as cached logits allow. Returns the rows that need the model."""
        import torch

        unknown: list[Row] = []
        while rows:
            found = [(row, self.memory.get(row.ids)) for row in rows]
            unknown += [row for row, logits in found if logits is None]
            rows = [row for row, logits in found if logits is not None]
            if rows:
                self.statistics.remembered += len(rows)
                self._choose(rows, torch.stack([logits for _, logits in found if logits is not None]))
            rows = [row for row in rows if not row.done]
        return unknown

    def _decode(self, rows: list[Row]) -> None:
        while rows:
            self.statistics.batches += 1
            rows = self._decode_together(rows) if self.able.padding else self._decode_first(rows)

    def _decode_first(self, rows: list[Row]) -> list[Row]:
        """Complete the first row by itself, without padding. Returns the others.

        A model with a recurrent state takes tokens one at a time after its prompt: several at once reset the state.
        """
        import torch

        row, *others = rows
        cache = empty_cache(self.model.config) if self.able.cache else None
        fed = 0
        while not row.done:
            ids = torch.tensor([row.ids], device=self.model.device)  # (1, tokens)
            for end in range(fed + 1, len(row.ids) + 1) if fed else (len(row.ids),):
                logits = self._run(ids[:, fed:end], torch.arange(fed, end, device=ids.device)[None], cache)
                fed = end if cache is not None else 0
            self.memory.put(row.ids, logits[0])
            self._choose([row], logits)
        return others

    def _decode_together(self, rows: list[Row]) -> list[Row]:
        """Complete rows in one batch. Returns those that have to be restarted, because they would have gaps."""
        logits, cache, mask = self._prefill(rows)
        postponed: list[Row] = []
        places = list(range(len(rows)))  # of the rows in the cache
        while True:
            for row, behind in zip(rows, logits, strict=True):
                self.memory.put(row.ids, behind)
            self._choose(rows, logits)
            for row, place in zip(rows, places, strict=True):
                if row.done:
                    self.prefixes.keep(row.request.prompt, row.seen, cache, place, mask[place])
            places = [place for row, place in zip(rows, places, strict=True) if not row.done]
            rows = [row for row in rows if not row.done]
            if not self.able.gaps:
                postponed += [row for row in rows if len(row.new) - row.fed > 1]
                places = [place for row, place in zip(rows, places, strict=True) if len(row.new) - row.fed == 1]
                rows = [row for row in rows if len(row.new) - row.fed == 1]
            if not rows:
                return postponed
            if len(rows) <= _CROWD * len(mask):
                mask, places = self._select(cache, mask, places), list(range(len(rows)))
            logits, mask = self._extend(rows, places, cache, mask)

    def _prefill(self, rows: list[Row]) -> tuple[Any, Any, Any]:
        """Run the uncached parts of the prompts through the model, each distinct prompt once.

        Returns:
            Logits after each row `(rows, vocabulary)`, the cache, and the mask of its positions `(rows, positions)`.
        """
        import torch

        sequences = list(dict.fromkeys(row.ids for row in rows))
        starts = {row.ids: (*row.request.earlier, len(row.request.prompt)) for row in rows}
        known = [self._known(ids, starts[ids]) for ids in sequences]
        if self.able.gaps and (head := self.prefixes.shared(sequences, known)):
            self.prefixes.keep_head(head, self._piece([head], [self.prefixes.find(head, ())])[1])
            known = [self.prefixes.find(ids, starts[ids]) for ids in sequences]
        for row in rows:
            row.fed = len(row.new)
        pieces = self._pieces([len(ids) - some.length for ids, some in zip(sequences, known, strict=True)])
        done = [self._piece([sequences[i] for i in piece], [known[i] for i in piece]) for piece in pieces]
        cache, mask = merged([piece[1] for piece in done], [piece[2] for piece in done], self.model.config)
        place = {sequences[i]: place for place, i in enumerate(i for piece in pieces for i in piece)}
        index = [place[row.ids] for row in rows]
        logits = torch.cat([piece[0] for piece in done])[torch.tensor(index, device=self.model.device)]
        if index != list(range(len(mask))):
            mask = self._select(cache, mask, index)
        return logits, cache, mask

    def _known(self, ids: tuple[int, ...], starts: Sequence[int]) -> Known:
        return self.prefixes.find(ids, starts) if self.able.gaps else Known()

    def _pieces(self, lengths: list[int]) -> list[list[int]]:
        """Split sequences into groups of similar length to limit padding.

        Args:
            lengths: number of new tokens of each sequence.

        Returns:
            The indices in each group.
        """
        order = sorted(range(len(lengths)), key=lambda index: lengths[index])
        if not self.able.gaps:
            return [order]
        pieces = [[order[0]]]
        for index in order[1:]:
            short = lengths[pieces[-1][0]]
            if lengths[index] - short > max(_PADDING * lengths[index], _FEW):
                pieces.append([])
            pieces[-1].append(index)
        return pieces

    def _piece(self, sequences: list[tuple[int, ...]], known: list[Known]) -> tuple[Any, Any, Any]:
        """Run the uncached parts of some sequences through the model. Returns logits, cache and mask, as `_prefill`."""
        import torch

        ids, seen = self._padded([ids[some.length :] for ids, some in zip(sequences, known, strict=True)])
        cache, mask = assembled(known, ids.shape[1], self.model.config, self.model.device)
        mask = torch.cat([mask, seen], dim=1)
        return self._forward(ids, mask, cache, seen), cache, mask

    def _extend(self, rows: list[Row], places: list[int], cache: Any, mask: Any) -> tuple[Any, Any]:
        """Run the tokens that the model hasn't seen yet; some rows may have more of them than others.

        Args:
            rows: the rows to continue.
            places: index of each row in the cache; all other rows are padded.
            cache: extended in place.
            mask: of its positions, `(places, positions)`.

        Returns:
            Logits `(rows, vocabulary)`, and the mask with the new positions.
        """
        import torch

        new: list[Sequence[int]] = [()] * len(mask)
        for row, place in zip(rows, places, strict=True):
            new[place] = row.new[row.fed :]
            row.fed = len(row.new)
        ids, seen = self._padded(new)
        mask = torch.cat([mask, seen], dim=1)
        logits = self._forward(ids, mask, cache, seen)
        return (logits if len(rows) == len(mask) else logits[places]), mask

    def _forward(self, ids: Any, mask: Any, cache: Any, seen: Any) -> Any:
        """Return the logits after the last position, `(rows, vocabulary)`.

        Args:
            ids: new tokens, `(rows, new)`.
            mask: which positions of cache and new tokens are not padding, `(rows, cached + new)`.
            cache: extended in place; None for no cache.
            seen: which of the new tokens are not padding, `(rows, new)`.
        """
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self._run(ids, positions, cache, attention_mask=mask, new=int(seen.sum()))

    def _run(self, ids: Any, positions: Any, cache: Any, new: int | None = None, **mask: Any) -> Any:
        """Return the logits after the last position, `(rows, vocabulary)`; `new` tokens aren't padding."""
        if self.stopped:
            raise PolicyFailure("the policy was closed while it answered", "Load the checkpoint again.", code="closed")
        self.statistics.tokens += ids.numel() if new is None else new
        if cache is not None:
            mask[self.able.cache] = cache
        output = self.model(
            input_ids=ids, position_ids=positions, use_cache=cache is not None, **mask, **self._last_only
        )
        return output.logits[:, -1].float()

    def _choose(self, rows: list[Row], logits: Any) -> None:
        draws = [row.draw() for row in rows]
        for row, draw, pick in zip(rows, draws, choose(logits, draws), strict=True):
            self.statistics.choices += 1
            if pick.margin < self.tie_margin:
                pick = self._alone(row, draw)
            if pick.margin != pick.margin:
                raise PolicyFailure(
                    "the model's logits aren't numbers",
                    "Its training diverged: lower the learning rate.",
                    code="not-a-number",
                )
            row.take(pick)

    def _alone(self, row: Row, draw: Draw) -> Pick:
        """Make a choice from logits of the row alone, without padding and cache."""
        import torch

        self.statistics.recomputed += 1
        ids = torch.tensor([list(row.ids)], device=self.model.device)
        mask = torch.ones_like(ids)
        return choose(self._forward(ids, mask, None, mask), [draw])[0]

    def _padded(self, sequences: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        """Return token ids and their mask, padded on the left."""
        import torch

        width = max(map(len, sequences))
        ids = torch.tensor([[self.pad] * (width - len(sequence)) + [*sequence] for sequence in sequences])
        mask = torch.tensor([[0] * (width - len(sequence)) + [1] * len(sequence) for sequence in sequences])
        return ids.to(self.model.device), mask.to(self.model.device)

    def _select(self, cache: Any, mask: Any, index: list[int]) -> Any:
        """Keep these rows of the cache and return their mask."""
        import torch

        rows = torch.tensor(index, device=mask.device)
        cache.batch_select_indices(rows)
        return mask[rows]
