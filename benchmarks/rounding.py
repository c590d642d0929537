"""How much do batches change logits, and is the margin in which choices are made again wide enough?

The same tokens go through the model twice: each conversation alone and at once, as choices are made again, and all of
them in one batch, padded, in pieces, on top of a cache, as the engine decodes. At the last positions of each, tokens
are drawn from both, as the engine draws them. Compared is by how much a choice's margin changes: only a choice that was
closer than that could become another one.

    python benchmarks/rounding.py                      # smollm2-135m in float32 on the generated shop's pages
    python benchmarks/rounding.py --env '{name: sciworld, types: [find-animal]}' --expert sciworld-gold
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
from rollout_speed import FORMAT, base, played

from eef_framework.policies import TransformersPolicy

PIECE = 200
"""Tokens of a prompt that go through the model at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="`tiny`, or whatever policy.model takes")
    parser.add_argument("--env", default="{name: shop, mode: text}", help="environment and settings, as YAML")
    parser.add_argument("--expert", default="shopper", help="scripted expert and settings, as YAML")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--rows", type=int, default=16, help="conversations in the batch")
    parser.add_argument("--positions", type=int, default=24, help="compared in each conversation, the last ones")
    parser.add_argument("--draws", type=int, default=200, help="at each position")
    parser.add_argument("--out", type=Path, default=Path("runs/rounding.json"))
    arguments = parser.parse_args()
    report = measure(arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2))
    print(as_text(report))


def measure(arguments: argparse.Namespace) -> dict:
    import torch

    environment, demonstrations = played(arguments.env, arguments.expert, arguments.rows)
    with tempfile.TemporaryDirectory() as folder:
        settings = TransformersPolicy(model=arguments.model, dtype=arguments.dtype)
        policy = settings.load(base(settings, environment, demonstrations, Path(folder)))
    draw, ids = random.Random(0), []
    for each in demonstrations:
        steps = each.steps[: draw.randint(1, len(each.steps))]
        ids.append(policy._chat.prompt_ids(FORMAT.conversation(environment.instructions, each.initial, steps)))
    with torch.inference_mode():
        alone = each_alone(policy._engine.model, ids, arguments.positions)
        batched = in_a_batch(policy._engine.model, ids, arguments.positions)
        changes, changed, within = compared(alone, batched, arguments.draws, policy._engine.tie_margin)
    return {
        "model": arguments.model,
        "environment": arguments.env,
        "dtype": arguments.dtype,
        "tokens": [min(map(len, ids)), max(map(len, ids))],
        "logits_differ_by": float((alone - batched).abs().max()),
        "choices": len(changes),
        "margins_change_by": {share: float(changes.quantile(share)) for share in (0.5, 0.99, 1.0)},
        "changed": changed,
        "margin": policy._engine.tie_margin,
        "within_margin": within,
    }


def each_alone(model, conversations: list, positions: int):
    """Return the logits behind the last positions, `(rows, positions, vocabulary)`, each row by itself."""
    import torch

    kept = [model(input_ids=torch.tensor([ids]), logits_to_keep=positions).logits[0].float() for ids in conversations]
    return torch.stack(kept)


def in_a_batch(model, conversations: list, positions: int):
    """Return the same, computed together: padded on the left, prompts in pieces, then token by token."""
    import torch

    from eef_framework.policies.cache import empty_cache

    width = max(map(len, conversations))
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in conversations])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in conversations])
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    first = width - positions + 1
    ends = [*range(PIECE, first, PIECE), *range(first, width + 1)]
    cache, found, begin = empty_cache(model.config), [], 0
    for end in ends:
        output = model(
            input_ids=ids[:, begin:end],
            attention_mask=mask[:, :end],
            position_ids=places[:, begin:end],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        found, begin = [*found, output.logits[:, -1].float()][-positions:], end
    return torch.stack(found, dim=1)


def compared(alone, batched, draws: int, margin: float):
    """Draw tokens from both.

    Returns:
        By how much margins change `(choices,)`, how many choices change, and how many are closer than the margin.
    """
    import torch

    from eef_framework.policies.choice import Draw, choose

    source, changes, changed, within = random.Random(0), [], 0, 0
    for _ in range(draws):
        for one, other in zip(alone, batched, strict=True):
            same = [Draw(None, 1.0, source.random()) for _ in one]
            for a, b in zip(choose(one, same), choose(other, same), strict=True):
                changes.append(abs(a.margin - b.margin) if a.token == b.token else a.margin + b.margin)
                changed += a.token != b.token
                within += a.margin < margin
    return torch.tensor(changes), changed, within


def as_text(report: dict) -> str:
    median, most_of_them, most = report["margins_change_by"].values()
    return (
        f"{report['model']}, {report['dtype']}, {report['environment']}, conversations of {report['tokens'][0]} to "
        f"{report['tokens'][1]} tokens: logits differ by {report['logits_differ_by']:.1e} at most\n"
        f"margins of {report['choices']} choices change by {median:.1e} (median), {most_of_them:.1e} (99 %), "
        f"{most:.1e} (most); {report['changed']} choices change\n"
        f"the engine makes choices within {report['margin']:.1e} again: {report['within_margin']} of these"
    )


if __name__ == "__main__":
    main()
