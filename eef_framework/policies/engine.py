"""Batched decoding whose results don't depend on the batch.

Rows of a batch are padded on the left, share a cache, and leave it as they finish. Padding and batch size change
logits in their last digits; where that could change a choice, the logits are computed again for the row alone, and
that computation is the same whatever the batch was.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eef_framework.errors import PolicyFailure
from eef_framework.policies.choice import Draw, Pick, choose
from eef_framework.policies.memory import Memory
from eef_framework.policies.prefixes import Prefixes, assembled
from eef_framework.policies.row import Row


@dataclass
class Statistics:
    """What an engine did since it was made. Unlike a response, this depends on how requests were batched."""

    batches: int = 0
    tokens: int = 0
    """Tokens through the model, padding not counted."""
    choices: int = 0
    remembered: int = 0
    """Choices from logits that were known already."""
    recomputed: int = 0
    """Choices that were too close, and were made again alone."""


class Engine:
    """Answers batches of requests with one model.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        pad: a token for padding; which one doesn't matter.
        tie_margin: how much batches may change a logit. Choices that this could change are made again alone.
        memory: where logits are kept for those who ask the same.
        prefixes: where keys and values are kept for those who go on.
    """

    def __init__(self, model: Any, pad: int, tie_margin: float, memory: Memory, prefixes: Prefixes) -> None:
        self.model = model
        self.pad = pad
        self.tie_margin = tie_margin
        self.memory = memory
        self.prefixes = prefixes
        self.statistics = Statistics()
        parameters = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def complete(self, rows: Sequence[Row]) -> None:
        """Complete all rows in one batch.

        Raises:
            PolicyFailure: the model's logits aren't numbers.
        """
        import torch

        with torch.inference_mode():
            unknown = self._recall([row for row in rows if not row.done])
            if unknown:
                self._decode_what_fits(unknown)

    def _decode_what_fits(self, rows: list[Row]) -> None:
        """Decode rows in one batch, or in smaller ones where the device's memory isn't enough for that."""
        import torch

        try:
            self._decode(rows)
            self.statistics.batches += 1
        except torch.OutOfMemoryError as cause:
            if len(rows) == 1:
                raise PolicyFailure(
                    f"a prompt of {len(rows[0].request.prompt)} tokens is too long for the device's memory",
                    "Use a shorter history (format.history), or a smaller model.",
                ) from cause
            half = len(rows) // 2
        else:
            return
        for part in (rows[:half], rows[half:]):
            self._decode_what_fits([row for row in part if not row.done])

    def _recall(self, rows: list[Row]) -> list[Row]:
        """Go as far as remembered logits lead. Returns the rows that need the model."""
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
        logits, cache, mask = self._prefill(rows)
        while True:
            for row, behind in zip(rows, logits, strict=True):
                self.memory.put(row.ids, behind)
            self._choose(rows, logits)
            keep = [index for index, row in enumerate(rows) if not row.done]
            for index, row in enumerate(rows):
                if row.done:
                    self.prefixes.keep(row.request.prompt, row.seen, cache, index, mask[index])
            if not keep:
                return
            if len(keep) < len(rows):
                rows = [rows[index] for index in keep]
                mask = self._select(cache, mask, keep)
            logits, mask = self._extend(rows, cache, mask)

    def _prefill(self, rows: list[Row]) -> tuple[Any, Any, Any]:
        """Run what isn't known of the prompts through the model, each different one once.

        Returns:
            Logits behind each row `(rows, vocabulary)`, the cache, and the mask of its positions `(rows, positions)`.
        """
        import torch

        places: dict[tuple[int, ...], int] = {}
        index = [places.setdefault(row.ids, len(places)) for row in rows]
        starts = {row.ids: (*row.request.earlier, len(row.request.prompt)) for row in rows}
        known = [self.prefixes.find(ids, starts[ids]) for ids in places]
        for row in rows:
            row.fed = len(row.new)
        cache, mask = assembled(known, self.model.config, self.model.device)
        ids, seen = self._padded([ids[known.length :] for ids, known in zip(places, known, strict=True)])
        mask = torch.cat([mask, seen], dim=1)
        logits = self._forward(ids, mask, cache, seen)
        if len(places) < len(rows):
            logits = logits[torch.tensor(index, device=logits.device)]
            mask = self._select(cache, mask, index)
        return logits, cache, mask

    def _extend(self, rows: list[Row], cache: Any, mask: Any) -> tuple[Any, Any]:
        """Run the tokens that the model hasn't seen yet; some rows may have more of them than others."""
        import torch

        ids, seen = self._padded([row.new[row.fed :] for row in rows])
        for row in rows:
            row.fed = len(row.new)
        mask = torch.cat([mask, seen], dim=1)
        return self._forward(ids, mask, cache, seen), mask

    def _forward(self, ids: Any, mask: Any, cache: Any, seen: Any) -> Any:
        """Return the logits behind the last position, `(rows, vocabulary)`.

        Args:
            ids: new tokens, `(rows, new)`.
            mask: which positions of cache and new tokens are real, `(rows, cached + new)`.
            cache: extended in place; None to do without.
            seen: which of the new tokens are real, `(rows, new)`.
        """
        self.statistics.tokens += int(seen.sum())
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
            **self._last_only,
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
                    "the model's logits aren't numbers", "Its training diverged: lower the learning rate."
                )
            row.take(pick.token)

    def _alone(self, row: Row, draw: Draw) -> Pick:
        """Make a choice from logits of the row alone: without padding and cache."""
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
