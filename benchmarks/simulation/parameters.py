"""What `benchmarks/scaling.py` assumes, and where each number is from: a section of LOG.md, or an assumption."""

from __future__ import annotations

from types import SimpleNamespace

PARAMETERS: dict[str, tuple[float, str]] = {
    "tasks": (11_000, "the paper's training tasks of WebShop, about"),
    "probes": (5, "the paper's M"),
    "iterations": (3, "the paper's"),
    "test_tasks": (500, "the paper's"),
    "expert_success": (0.356, "the paper's expert"),
    "epochs": (3, "assumed"),
    "examples_per_task": (1, "assumed: examples of a fine-tuning, for each training task"),
    "parameters": (8e9, "an 8B model"),
    "cache_bytes_per_token": (131_072, "32 layers, 8 key and value heads of width 128, bfloat16"),
    "gpu_bytes": (80e9, "assumed: H100, its data sheet"),
    "gpu_bytes_per_s": (3.35e12, "assumed: H100, its data sheet"),
    "gpu_flop_per_s": (989e12, "assumed: H100, its data sheet, bfloat16"),
    "memory_share": (0.9, "assumed: share of the memory for weights and cached keys and values"),
    "memory_efficiency": (0.6, "assumed: share of the bandwidth that decoding reaches"),
    "prompt_efficiency": (0.4, "assumed: share of the operations that processing prompts reaches"),
    "training_efficiency": (0.35, "assumed: the same for training, on one GPU"),
    "loss_per_doubling": (0.05, "assumed: share of training's speed lost each time the number of GPUs doubles"),
    "training_flop": (4, "assumed: LoRA, operations per token and parameter (complete weights: 6)"),
    "batch": (128, "assumed: sequences that a server decodes at once, if its memory holds them"),
    "in_flight": (160, "assumed: episodes under way for each GPU"),
    "read_bytes_per_s": (2e9, "assumed: weights from disk"),
    "start_s": (60, "assumed: start of a server or a trainer, besides reading weights"),
    "prompt_tokens": (500, "assumed: instructions and the task"),
    "observation_tokens": (200, "assumed (LOG, rollouts: whole conversations have 484 to 2,494 tokens)"),
    "cached_share": (0.5, "assumed: share of an episode's first prompt that the server has cached"),
    "answer_tokens": (60, "assumed: a thought and an action; drawn between half and one and a half of it"),
    "caller_s": (0.88e-3 / 3 + 1 / 1530, "LOG: corridor on threads (Ray), 3 turns; a request (serving), on one core"),
    "cores_per_gpu": (16, "assumed"),
}
P = SimpleNamespace(**{name: value for name, (value, _) in PARAMETERS.items()})

# World -> least and most turns; core seconds of a step and of a reset; whether a state is reached by replay; GB of the
# first process and of each further one, MB of an open episode; where that is from.
WORLDS = {
    "webshop": SimpleNamespace(
        turns=(3, 10), step_s=1 / 10_800 + 0.0049 / 3, reset_s=6.8e-6, replays=False, gb=(0.29, 0.12), mb=0.0,
        source="LOG, WebShop: text_rich, first pass; search at full size in a third of the steps (assumed); memory",
    ),
    "sciworld": SimpleNamespace(
        turns=(5, 40), step_s=2 / 107.1, reset_s=60 / 448, replays=True, gb=(0.5, 0.5), mb=10.4,
        source="LOG, ScienceWorld: several sessions on two cores; a reset: a short solution; JVM 0.5 GB assumed",
    ),
    "textworld": SimpleNamespace(
        turns=(2, 18), step_s=1 / 514, reset_s=0.41e-3, replays=False, gb=(0.2, 0.2), mb=0.1,
        source="LOG, TextWorld: 10 rooms, 20 objects; a reset like a fork; process 0.2 GB assumed",
    ),
}  # fmt: skip

# Strategy -> simulations of a demonstration, F1 (LOG, all strategies at equal cost, shop).
BUDGETS = {
    "`interval`, `any`, n = 1 (the paper's)": (4.7, 0.39),
    "`bisect`, `majority`, n = 1": (5.1, 0.49),
    "`bisect`, `majority`, n = 1, prior `anchor`": (2.5, 0.58),
    "`interval`, `majority`, n = 4": (18.9, 0.44),
    "`sequential` over `interval`, n = 4": (11.3, 0.44),
    "`bisect`, `majority`, n = 4": (20.2, 0.52),
    "`sequential` over `bisect`, n = 4": (12.1, 0.52),
}
