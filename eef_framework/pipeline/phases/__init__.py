"""The phases of a run, one module each. Each reads files and writes files, within a run and by itself."""

from eef_framework.pipeline.exploration_files import ExplorationFiles
from eef_framework.pipeline.phases.attribute import Attribute
from eef_framework.pipeline.phases.collect import Collect, CollectForEvaluation, ImportDemonstrations
from eef_framework.pipeline.phases.evaluate import Evaluate
from eef_framework.pipeline.phases.explore import Explore
from eef_framework.pipeline.phases.initial_checkpoint import InitialCheckpoint
from eef_framework.pipeline.phases.report import Report
from eef_framework.pipeline.phases.select import Select
from eef_framework.pipeline.phases.train import Clone, Train

__all__ = [
    "Attribute",
    "Clone",
    "Collect",
    "CollectForEvaluation",
    "Evaluate",
    "ExplorationFiles",
    "Explore",
    "ImportDemonstrations",
    "InitialCheckpoint",
    "Report",
    "Select",
    "Train",
]
