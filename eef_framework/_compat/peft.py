"""Layout of peft's folders of adapters, as constants, because importing peft takes seconds; loading them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SETTINGS_FILE = "adapter_config.json"
"""File with the settings of adapters."""
WEIGHTS_FILES = ("adapter_model.safetensors", "adapter_model.bin")
"""Files of weights, the preferred first."""


def load_adapters(model: Any, folder: Path) -> tuple[Any, set[str], set[str]]:
    """Load adapters.

    Returns:
        The model with the adapters, the names of the weights in the folder, and the names of those that the model has.
        peft only warns if they differ.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from peft.utils import load_peft_weights

    adapted = PeftModel.from_pretrained(model, str(folder))
    return adapted, set(load_peft_weights(str(folder), device="cpu")), set(get_peft_model_state_dict(adapted))


_A, _B = ".lora_A.weight", ".lora_B.weight"
"""Ends of the names of the two factors of an update, B A."""
_NOT_ADDITIVE = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "trainable_token_indices")
"""Settings with which an update isn't alpha / rank B A."""


def stack_low_rank(folders: Sequence[Path], output: Path) -> int:
    """Write adapters whose updates are the sums of several adapters' updates: their factors side by side.

    Returns:
        The rank: the sum of the ranks.

    Raises:
        ValueError: an adapter has other weights than low-rank updates.
    """
    import torch
    from peft.utils import load_peft_weights
    from safetensors.torch import save_file

    ranks, scaled = [], []
    for folder in folders:
        settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        weights = load_peft_weights(str(folder), device="cpu")
        other = [name for name in weights if not name.endswith((_A, _B))]
        other += [name for name in _NOT_ADDITIVE if settings.get(name)]
        if other or settings.get("peft_type") != "LORA":
            raise ValueError(f"{str(folder)!r} has {', '.join(other[:3]) or settings.get('peft_type')}")
        rank = int(settings["r"])
        scale = settings["lora_alpha"] / (rank**0.5 if settings.get("use_rslora") else rank)
        ranks.append(rank)
        scaled.append({name: each * scale if name.endswith(_B) else each for name, each in weights.items()})
    shapes = {name: (each.shape, each.dtype) for weights in scaled for name, each in weights.items()}
    stacked = {}
    for name, (shape, dtype) in shapes.items():
        axis = 0 if name.endswith(_A) else 1  # A: (rank, in); B: (out, rank)
        parts = []
        for rank, weights in zip(ranks, scaled, strict=True):
            size = [rank, shape[1]] if axis == 0 else [shape[0], rank]
            parts.append(weights.get(name, torch.zeros(size, dtype=dtype)))
        stacked[name] = torch.cat(parts, dim=axis).contiguous()
    total = sum(ranks)
    first = json.loads((folders[0] / SETTINGS_FILE).read_text(encoding="utf-8"))
    targets = sorted({name.removesuffix(_A).rpartition(".")[2] for name in stacked if name.endswith(_A)})
    settings = first | {"r": total, "lora_alpha": total, "use_rslora": False, "target_modules": targets}
    output.mkdir(parents=True, exist_ok=True)
    save_file(stacked, str(output / WEIGHTS_FILES[0]))
    (output / SETTINGS_FILE).write_text(json.dumps(settings, indent=2), encoding="utf-8")
    return total
