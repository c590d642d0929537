"""The method: phases, their settings, and the loop around them."""

from eef_framework.pipeline.methods import methods
from eef_framework.pipeline.run import run

__all__ = ["methods", "run"]
