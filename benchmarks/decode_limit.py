"""How near is a batched step of decoding to what the machine's memory allows?

For one more token of every row, all weights and all cached keys and values have to be read once. Measured, in turns:
the model's call as the engine makes it (cache with reserved memory, rows of unequal length), the same for one row, and
how long this machine takes just to read that many bytes. Where the call's time goes is taken from torch's profiler.

    python benchmarks/decode_limit.py                       # smollm2-135m, 16 rows with 1,200 tokens each, a minute
    python benchmarks/decode_limit.py --dtype bfloat16
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from common import arguments, finish, table

from eef_framework import Message
from eef_framework.policies import TransformersPolicy

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "attention": ("scaled_dot_product", "flash_attention"),
}


def main() -> None:
    args = arguments(
        __doc__,
        {"model": "tiny", "rows": 4, "context": 200, "turns": 2},
        model=("smollm2-135m", "`tiny`, or whatever policy.model takes"),
        dtype=("float32", "float32 or bfloat16"),
        rows=(16, "of the batch"),
        context=(1200, "tokens in the cache, for each row"),
        turns=(7, "medians are of"),
    )
    report, checks = measure(args)
    ms, times = report["ms"], report["times_reading"]
    rows = [[name, ms[name], times[name]] for name in times]
    text = (
        f"{report['model']}, {report['dtype']}, {report['threads']} threads: {report['rows']} rows of "
        f"{report['context']} tokens; {report['weights_mb']:.0f} MB of weights, {report['cache_mb']:.0f} MB of keys "
        f"and values; memory is read at {report['gb_per_s']:.1f} GB/s\n\n"
        + table(["", "ms", "times as long as reading it once"], rows)
        + f"\n\na batch is {report['rows_for_one']:.1f} times as fast as its rows one after the other; of its time "
        + ", ".join(f"{kind} {100 * share:.0f} %" for kind, share in report["shares"].items())
    )
    finish(args, report, text, checks)


def measure(args: Any) -> tuple[dict, dict[str, bool]]:
    """Return the times of a step, and whether they pass the checks."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    model = loaded(args)
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    with torch.inference_mode():
        batch, alone = Step(model, args.rows, args.context), Step(model, 1, args.context)
        needed = {"batch": weights + batch.bytes, "one row": weights + alone.bytes}
        block = torch.ones(needed["batch"] // 4)
        calls = {"batch": batch, "one row": alone, "reading": block.sum}
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(args.turns + 1):
            for name, call in calls.items():
                began = time.perf_counter()
                call()
                if turn:  # the first warms up
                    seconds[name].append(time.perf_counter() - began)
        # The batch's first row has the same tokens, none of them padding, and both took as many steps.
        differ_by = float((batch.logits[0] - alone.logits[0]).float().abs().max())
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            batch()
    spent = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    shares = {
        kind: sum(us for name, us in spent.items() if any(mark in name for mark in marks)) / sum(spent.values())
        for kind, marks in KINDS.items()
    }
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    speed = needed["batch"] / medians["reading"]
    report = {
        "model": str(args.model),
        "dtype": args.dtype,
        "rows": args.rows,
        "context": args.context,
        "threads": torch.get_num_threads(),
        "weights_mb": weights / 1e6,
        "cache_mb": batch.bytes / 1e6,
        "ms": {name: 1e3 * value for name, value in medians.items()},
        "range_ms": {name: [1e3 * min(values), 1e3 * max(values)] for name, values in seconds.items()},
        "gb_per_s": speed / 1e9,
        "times_reading": {name: medians[name] / (size / speed) for name, size in needed.items()},
        "rows_for_one": args.rows * medians["one row"] / medians["batch"],
        "shares": shares,
        "logits_differ_by": differ_by,
    }
    return report, {"a row's logits are the same in the batch": differ_by < (1e-3 if args.dtype == "float32" else 1.0)}


def loaded(args: Any) -> Any:
    """Load the model."""
    from eef_framework.policies.loading import load_model

    with tempfile.TemporaryDirectory() as folder:
        words = [(Message(role="user", content="a b c d e f g h"),)]
        path = TransformersPolicy(model=args.model).initial_checkpoint(words, Path(folder) / "model", 0).path
        return load_model(path, args.dtype, "cpu").eval()


class Step:
    """One more token for all rows of a batch; rows differ a little in length, as they do in the engine.

    Args:
        model: a causal language model.
        rows: how many.
        context: tokens in the cache, for the longest.
    """

    def __init__(self, model, rows: int, context: int) -> None:
        import torch

        from eef_framework._compat.transformers import empty_cache

        self.model = model
        self.cache = empty_cache(model.config)
        ids = torch.randint(0, model.config.vocab_size, (rows, context), generator=torch.Generator().manual_seed(0))
        self.mask = torch.ones_like(ids)
        for row in range(rows):
            self.mask[row, :row] = 0
        for start in range(0, context, 100):
            self._forward(ids[:, start : start + 100], self.mask[:, : start + 100])
        self.bytes = sum(layer.keys.nbytes + layer.values.nbytes for layer in self.cache.layers)

    def __call__(self) -> None:
        """Take the step. The cache grows by it."""
        import torch

        new = torch.ones(len(self.mask), 1, dtype=self.mask.dtype)
        self.mask = torch.cat([self.mask, new], dim=1)
        self._forward(new, self.mask)

    def _forward(self, ids, mask) -> None:
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        self.logits = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]


if __name__ == "__main__":
    main()
