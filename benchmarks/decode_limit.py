"""How near is a batched step of decoding to what the machine's memory allows?

For one more token of every row, all weights and all cached keys and values have to be read once. Measured, in turns:
the model's call as the engine makes it (cache with reserved memory, rows of unequal length), the same for one row, and
how long this machine takes just to read that many bytes. Where the call's time goes is taken from torch's profiler.

    python benchmarks/decode_limit.py                       # smollm2-135m, 16 rows with 1,200 tokens each, a minute
    python benchmarks/decode_limit.py --dtype bfloat16
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "attention": ("scaled_dot_product", "flash_attention"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="whatever policy.model takes")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--context", type=int, default=1200, help="tokens in the cache, for each row")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("runs/decode-limit.json"))
    arguments = parser.parse_args()
    report = measure(arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2))
    print(as_text(report))


def measure(arguments: argparse.Namespace) -> dict:
    import torch
    from torch.profiler import ProfilerActivity, profile

    from eef_framework.policies.loading import load_model

    model = load_model(Path(arguments.model), arguments.dtype, "cpu").eval()
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    with torch.inference_mode():
        batch, alone = Step(model, arguments.rows, arguments.context), Step(model, 1, arguments.context)
        needed = {"batch": weights + batch.bytes, "one row": weights + alone.bytes}
        block = torch.ones(needed["batch"] // 4)
        calls = {"batch": batch, "one row": alone, "reading": block.sum}
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(arguments.turns + 1):
            for name, call in calls.items():
                began = time.perf_counter()
                call()
                if turn:  # the first warms up
                    seconds[name].append(time.perf_counter() - began)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            batch()
    spent = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    shares = {
        kind: sum(us for name, us in spent.items() if any(mark in name for mark in marks)) / sum(spent.values())
        for kind, marks in KINDS.items()
    }
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    speed = needed["batch"] / medians["reading"]
    return {
        "model": str(arguments.model),
        "dtype": arguments.dtype,
        "rows": arguments.rows,
        "context": arguments.context,
        "threads": torch.get_num_threads(),
        "weights_mb": weights / 1e6,
        "cache_mb": batch.bytes / 1e6,
        "ms": {name: 1e3 * value for name, value in medians.items()},
        "range_ms": {name: [1e3 * min(values), 1e3 * max(values)] for name, values in seconds.items()},
        "gb_per_s": speed / 1e9,
        "times_reading": {name: medians[name] / (size / speed) for name, size in needed.items()},
        "rows_for_one": arguments.rows * medians["one row"] / medians["batch"],
        "shares": shares,
    }


class Step:
    """One more token for all rows of a batch; rows differ a little in length, as they do in the engine.

    Args:
        model: a causal language model.
        rows: how many.
        context: tokens in the cache, for the longest.
    """

    def __init__(self, model, rows: int, context: int) -> None:
        import torch

        from eef_framework.policies.cache import empty_cache

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
        self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )


def as_text(report: dict) -> str:
    """Write the report for reading."""
    ms, times, shares = report["ms"], report["times_reading"], report["shares"]
    return "\n".join(
        [
            f"{report['model']}, {report['dtype']}, {report['threads']} threads: {report['rows']} rows with "
            f"{report['context']} tokens each; {report['weights_mb']:.0f} MB of weights, "
            f"{report['cache_mb']:.0f} MB of keys and values",
            f"memory is read at {report['gb_per_s']:.1f} GB/s",
            f"batch    {ms['batch']:6.0f} ms, {times['batch']:.1f} times as long as reading all of it once",
            f"one row  {ms['one row']:6.0f} ms, {times['one row']:.1f} times",
            f"a batch is {report['rows_for_one']:.1f} times as fast as its rows one after the other",
            ", ".join(f"{kind}: {100 * share:.0f} % of the batch's time" for kind, share in shares.items()),
        ]
    )


if __name__ == "__main__":
    main()
