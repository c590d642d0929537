"""Memory of this process that isn't used any more."""

from __future__ import annotations

import ctypes
import gc
import os
import sys


def give_back_memory() -> None:
    """Collect garbage, and give what is free back to the system, or to the device.

    glibc keeps what was freed until everything above it in its heap is freed too. After a phase with a language model
    this can be many times the model, which other processes, and the limits that go by what is free, would have to do
    without.
    """
    gc.collect()
    if trim := getattr(ctypes.CDLL(None) if os.name == "posix" else None, "malloc_trim", None):  # glibc alone has it
        trim(0)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
