"""Releases unused memory of this process."""

from __future__ import annotations

import ctypes
import gc
import os
import sys


def release_memory() -> None:
    """Collect garbage, and return free memory to the system or to the device.

    glibc keeps freed memory until everything above it in its heap is freed too. After a phase with a language model,
    that can be many times the size of the model, which other processes then can't use.
    """
    gc.collect()
    if trim := getattr(ctypes.CDLL(None) if os.name == "posix" else None, "malloc_trim", None):  # only glibc has it
        trim(0)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
