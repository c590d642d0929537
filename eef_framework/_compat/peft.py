"""Layout of peft's folders of adapters, as constants, because importing peft takes seconds; loading them."""

from __future__ import annotations

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
