"""The pipeline: the phases of a run and their settings."""

from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.run import run
from eef_framework.pipeline.variants import variants

__all__ = ["RunContext", "run", "variants"]
