"""Does our trainer learn what TRL's SFTTrainer learns, and how fast? Same model, data, order, batches and settings.

The data are a scripted shopper's whole episodes on the generated shop, as they fall: of mixed length, with loss on the
agent's turns. Both train in float32, from the same weights, on the same examples in the same order, so that their
losses should agree step by step. Each of TRL's rows is one way to split a step into micro-batches; ours does by length,
and computes logits only where something is learned. The same with examples packed into one sequence, without attention
between neighbours, says whether sorting by length is the better way. Rounds take turns with all of these, so that what
else the machine does hits them all. Prints a table, writes JSON.

    python benchmarks/train_speed.py --model FOLDER
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from common import arguments, finish, skip, table

from eef_framework.rollout import demonstrations

RATE, CLIP = 1e-4, 1.0
ROOM = 1024
"""Largest piece of a step in our trainer, in tokens; its default on a processor."""
SIZES = {"vocabulary": 49152, "hidden": 256, "layers": 8}
QUICK_SIZES = {"vocabulary": 512, "hidden": 32, "layers": 2}


def main() -> None:
    args = arguments(
        __doc__,
        {"steps": 2, "rounds": 1, "batch_size": 4, "per_device": [4], "max_tokens": 512},
        model=(None, "folder of a model; a small one with random weights if left out", Path),
        steps=(4, "optimisation steps"),
        rounds=(2, "medians are of"),
        batch_size=(16, "examples a step"),
        mode=("compact", "look of the shop's pages, compact or text"),
        max_tokens=(2048, "longest example"),
        per_device=([1, 4], "sizes of TRL's micro-batches"),
        precision=("float32", "float32 or bfloat16"),
    )
    try:
        import trl  # noqa: F401 - the peer
    except ImportError:
        skip("TRL isn't installed: pip install -e '.[test]'")
    with tempfile.TemporaryDirectory() as scratch:
        report = compare(args, Path(scratch))
    ways = report["ways"]
    trl_losses = next(row["losses"] for way, row in ways.items() if way.startswith("TRL"))
    tolerance = 2e-4 if args.precision == "float32" else 2e-2
    checks = {
        f"{way}: TRL's losses within {tolerance:g}": len(row["losses"]) == args.steps
        and all(abs(a - b) <= tolerance for a, b in zip(row["losses"], trl_losses, strict=True))
        for way, row in ways.items()
        if way.startswith("ours")
    }
    finish(args, report, as_text(report), checks)


def compare(args: Any, scratch: Path) -> dict:
    """Train with each in turn, as often as there are rounds."""
    episodes = trajectories(4 * args.steps * args.batch_size, args.mode)
    model = args.model or small_model(episodes, scratch / "model", QUICK_SIZES if args.quick else SIZES)
    prepared = tokens_of(episodes, model, args.max_tokens)
    order = in_order(prepared, args.batch_size, args.steps)
    rows: dict[str, list[dict]] = {}
    for number in range(args.rounds):
        for size in args.per_device:
            way = rows.setdefault(f"TRL, {size} at once", [])
            way.append(theirs(model, order, args, size, scratch / f"trl-{number}-{size}"))
        for way, packs in (("ours", False), ("ours, packed", True)):
            rows.setdefault(way, []).append(ours(model, order, args, scratch / f"{way}-{number}", packs))
    lengths = sorted(len(example.token_ids) for example in order)
    return {
        "model": str(args.model or "small"),
        "examples": len(order),
        "length": {"shortest": lengths[0], "median": lengths[len(lengths) // 2], "longest": lengths[-1]},
        "tokens": sum(lengths),
        "learned": sum(len(example.target_positions) for example in order),
        "padding": padding(order, args),
        "precision": args.precision,
        "ways": {way: summary(runs) for way, runs in rows.items()},
    }


def trajectories(count: int, mode: str) -> list:
    """Return a shopper's episodes."""
    from eef_webshop.generated.shop import Shop
    from eef_webshop.generated.shopper import Shopper

    async def collect() -> list:
        with Shop(mode=mode) as shop:
            return [row async for row in demonstrations(Shopper(), shop, shop.tasks("train")[:count], 0)]

    return asyncio.run(collect())


def small_model(episodes: list, folder: Path, sizes: dict[str, int]) -> Path:
    """Make a model of 30 million weights with random values, two thirds of them in a vocabulary as large as usual."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from eef_framework.policies import TinyModel
    from eef_framework.policies.loading import load_tokenizer
    from eef_framework.records import Message

    words = " ".join(row.initial.text for row in episodes[:50])
    TinyModel().build([(Message(role="user", content=words),)], folder, 0)
    size = len(load_tokenizer(folder))
    config = LlamaConfig(
        vocab_size=max(size, sizes["vocabulary"]),
        hidden_size=sizes["hidden"],
        intermediate_size=3 * sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=8,
        num_key_value_heads=4,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def tokens_of(episodes: list, model: Path, max_tokens: int) -> list:
    """Return the episodes as tokens; the agent's turns are learned, longer episodes are cut."""
    from eef_framework.chat.format import ChatFormat
    from eef_framework.training.dataset import TokenizedDataset

    examples = [
        example
        for row in episodes
        for example in ChatFormat().examples(row, [1.0] * len(row.steps), "Buy what is asked for.", "expert")
    ]
    return TokenizedDataset.from_examples(examples, model, max_tokens, "cut").examples


def in_order(prepared: list, batch_size: int, steps: int) -> list:
    """Return the examples in the order in which our trainer takes them."""
    from eef_framework.training.batches import shuffled_batches

    return [example for batch in shuffled_batches(prepared, batch_size, steps, 0) for example in batch]


def steps_of(order: list, batch_size: int) -> list[list]:
    """Return the examples of each step."""
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def padding(order: list, args: Any) -> float:
    """Return the share of padding in our micro-batches: what packing could save at most."""
    from eef_framework.training.batches import micro_batches

    split = [batch for step in steps_of(order, args.batch_size) for batch in micro_batches(step, ROOM)]
    padded = sum(len(batch) * max(len(example.token_ids) for example in batch) for batch in split)
    return 1 - sum(len(example.token_ids) for example in order) / padded


def ours(model: Path, order: list, args: Any, scratch: Path, packs: bool) -> dict:
    """Train with our loop, and take its time without loading and saving."""
    from eef_framework.records import Checkpoint
    from eef_framework.training.loop import Training
    from eef_framework.training.sft import SftTrainer

    settings = SftTrainer(
        learning_rate=RATE,
        batch_size=args.batch_size,
        steps=args.steps,
        warmup=0.0,
        max_batch_tokens=ROOM,
        max_grad_norm=CLIP,
        device="cpu",
        precision=args.precision,
        trackers=(),
        packing=packs,
    )
    training = Training(settings, order, Checkpoint(path=model), scratch, 0)
    training._batches = iter(steps_of(order, args.batch_size))  # the order is fixed outside, for all
    return timed(lambda: [training.advance()["loss"] for _ in range(args.steps)], order)


def theirs(model: Path, order: list, args: Any, size: int, scratch: Path) -> dict:
    """Train with TRL, and take its time without loading and saving."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from eef_framework.policies.loading import load_tokenizer

    def labels(example: object) -> list[int]:
        learned = set(example.target_positions)
        return [token if place in learned else -100 for place, token in enumerate(example.token_ids)]

    losses = []

    class Losses(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs) -> None:
            if "loss" in (logs or {}):
                losses.append(logs["loss"])

    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype="float32"),
        processing_class=load_tokenizer(model),
        train_dataset=Dataset.from_list(
            [{"input_ids": example.token_ids, "labels": labels(example)} for example in order]
        ),
        callbacks=[Losses()],
        args=SFTConfig(
            output_dir=str(scratch),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=args.batch_size // size,
            max_steps=args.steps,
            learning_rate=RATE,
            lr_scheduler_type="cosine",
            warmup_steps=0,
            weight_decay=0.0,
            max_grad_norm=CLIP,
            optim="adamw_torch_fused",
            bf16=args.precision == "bfloat16",
            gradient_checkpointing=False,
            train_sampling_strategy="sequential",
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
    )
    return timed(lambda: trainer.train() and losses, order)


def timed(train: object, order: list) -> dict:
    """Return losses and times of a training."""
    wall, cpu = time.perf_counter(), time.process_time()
    losses = list(train())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    tokens = sum(len(example.token_ids) for example in order)
    return {"losses": losses, "tokens_per_s": tokens / wall, "tokens_per_cpu_s": tokens / cpu}


def summary(runs: list[dict]) -> dict:
    """Return medians over rounds; losses are the same in each."""
    rates = [run["tokens_per_s"] for run in runs]
    return {
        "losses": [round(loss, 4) for loss in runs[0]["losses"]],
        "tokens_per_s": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "tokens_per_cpu_s": statistics.median(run["tokens_per_cpu_s"] for run in runs),
    }


def as_text(report: dict) -> str:
    """Write the report for reading."""
    length = report["length"]
    ours = report["ways"]["ours"]
    best = max(row["tokens_per_s"] for way, row in report["ways"].items() if way.startswith("TRL"))
    best_cpu = max(row["tokens_per_cpu_s"] for way, row in report["ways"].items() if way.startswith("TRL"))
    rows = [
        [way, row["tokens_per_s"], f"{row['lowest']:.0f}-{row['highest']:.0f}", row["tokens_per_cpu_s"], losses]
        for way, row in report["ways"].items()
        for losses in [" ".join(f"{loss:.4f}" for loss in row["losses"])]
    ]
    lines = [
        f"{report['model']}, {report['precision']}: {report['examples']} examples of {length['shortest']} to "
        f"{length['longest']} tokens (median {length['median']}), {report['learned']} of {report['tokens']} learned; "
        f"{100 * report['padding']:.1f} % padding in our micro-batches\n",
        table(["way", "tokens/s", "range", "per processor second", "loss by step"], rows) + "\n",
    ]
    ratio, ratio_cpu = ours["tokens_per_s"] / best, ours["tokens_per_cpu_s"] / best_cpu
    lines.append(f"ours / TRL's best: {ratio:.2f} by the clock, {ratio_cpu:.2f} by CPU time")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
