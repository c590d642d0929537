"""Does an answer depend on what else is in the batch, and is the margin in which samples are recomputed wide enough?

The same conversations are answered with the same seeds, one at a time and all at once: with samples that rounding could
turn made again alone (`tie_margin` as it is by default), and without (`tie_margin: 0`). Compared are the answers'
tokens and, where these are equal, their log-probabilities. In float32 no answer may differ with the default.

    python benchmarks/rounding.py                      # smollm2-135m in float32 on the generated shop's pages
    python benchmarks/rounding.py --env '{name: sciworld, types: [find-animal]}' --expert sciworld-gold
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

from common import arguments, finish, table
from rollout_speed import FORMAT, initial_checkpoint, played

from eef_framework import Response, Sampling
from eef_framework.policies import TransformersPolicy

MARGINS = {"default": None, "none": 0.0}


def main() -> None:
    args = arguments(
        __doc__,
        {"model": "tiny", "conversations": 8, "draws": 2, "env": "{name: shop, mode: compact}"},
        model=("smollm2-135m", "`tiny`, or whatever policy.model takes"),
        env=("{name: shop, mode: text}", "environment and settings, as YAML"),
        expert=("shopper", "scripted expert and settings, as YAML"),
        dtype=("float32", "float32, bfloat16 or float16"),
        conversations=(16, "answered at once"),
        answer_tokens=(24, "longest answer"),
        draws=(10, "answers to each conversation"),
    )
    report: dict[str, Any] = {"model": args.model, "environment": args.env, "dtype": args.dtype, "margins": {}}
    environment, demonstrations = played(args.env, args.expert, args.conversations)
    draw, asked = random.Random(0), []
    for each in demonstrations:
        steps = each.steps[: draw.randint(1, len(each.steps))]
        asked.append((FORMAT.conversation(environment.instructions, each.initial, steps), each.initial))
    with tempfile.TemporaryDirectory() as folder:
        for name, margin in MARGINS.items():
            settings = TransformersPolicy(model=args.model, dtype=args.dtype, tie_margin=margin)
            checkpoint = initial_checkpoint(settings, environment, demonstrations, Path(folder))
            report["margins"][name] = compared(*(answers(settings, checkpoint, asked, args, at) for at in (1, None)))
    rows = [[name, *found.values()] for name, found in report["margins"].items()]
    default = report["margins"]["default"]
    header = ["margin", *(key.replace("_", " ") for key in default)]
    text = f"{args.model}, {args.dtype}, {args.env}\n\n{table(header, rows)}"
    checks = {"something was batched": default["batches_at_once"] < default["batches_alone"]}
    if args.dtype == "float32":
        checks["no answer depends on the batch"] = default["different_answers"] == 0
    finish(args, report, text, checks)


def answers(settings: TransformersPolicy, checkpoint, asked: list, args: Any, at_once: int | None):
    """Answer all conversations, so many at once; all where it is None. Returns the answers and what the model did."""

    async def answer(policy, places: asyncio.Semaphore, question: tuple, seed: int) -> Response:
        async with places:
            return await policy.act(*question, Sampling(temperature=1.0, max_tokens=args.answer_tokens), seed)

    async def all_of(policy) -> list[Response]:
        places = asyncio.Semaphore(at_once or len(asked) * args.draws)
        work = (answer(policy, places, question, seed) for seed in range(args.draws) for question in asked)
        return await asyncio.gather(*work)

    policy = settings.load(checkpoint)  # anew each time, so that its caches are empty
    found = asyncio.run(all_of(policy))
    did = policy.statistics
    policy.close()
    return found, did


def compared(alone: tuple, together: tuple) -> dict[str, float]:
    """Compare answers of single prompts with those of batches."""
    pairs = list(zip(alone[0], together[0], strict=True))
    changes = sorted(abs(a.logprob - b.logprob) for a, b in pairs if a.token_ids == b.token_ids)
    return {
        "answers": len(pairs),
        "different_answers": sum(a.token_ids != b.token_ids for a, b in pairs),
        "median_change_of_a_logprob": changes[len(changes) // 2] if changes else 0.0,
        "largest_change_of_a_logprob": max(changes, default=0.0),
        "samples": together[1].samples,
        "made_again": together[1].recomputed,
        "batches_alone": alone[1].batches,
        "batches_at_once": together[1].batches,
    }


if __name__ == "__main__":
    main()
