from __future__ import annotations

import os
import platform
from collections.abc import Iterator

import pytest


@pytest.fixture
def holes() -> Iterator[int]:
    """So many MB that are free below what is used: glibc keeps them."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("only glibc can be told to give up what is free")
    bytearray(31 << 20)  # once this is freed, glibc takes smaller blocks from its heap
    freed = [bytearray(os.urandom(1 << 20)) for _ in range(200)]
    above = bytearray(os.urandom(8 << 20))  # keeps the heap from shrinking
    size = len(freed)
    freed.clear()
    yield size
    del above
