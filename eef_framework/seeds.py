"""Derives seeds by name: the inputs of a random choice are explicit, so that scheduling never changes a result."""

from __future__ import annotations

import hashlib

SEPARATOR = "\x1f"


def derive(seed: int, *names: str | int) -> int:
    """Return a seed (63 bits) for one named purpose.

    The same names give the same seed in every process and version; different names give unrelated ones.

    Args:
        seed: the run's seed, or one derived from it.
        names: its purpose, from general to particular: `derive(seed, "explore", 2, task.id, 3)`.
    """
    key = SEPARATOR.join([str(seed), *(f"{type(name).__name__}:{_quoted(name)}" for name in names)])
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def _quoted(name: str | int) -> str:
    # Doubled, so that a name containing a separator is never mistaken for two names.
    return str(name).replace(SEPARATOR, SEPARATOR * 2)
