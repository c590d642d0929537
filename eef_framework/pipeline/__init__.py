"""The method: phases, their settings, and the list of them that a run is."""

from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.run import run
from eef_framework.pipeline.variants import variants

__all__ = ["RunContext", "run", "variants"]
