"""Compares runs: seeds are pooled, rows are paired by seed and task, protocols are checked."""

from eef_framework.comparison.compare import compare_runs
from eef_framework.comparison.result import ComparedDifference, ComparedExperiment, ComparedRow, Comparison

__all__ = ["ComparedDifference", "ComparedExperiment", "ComparedRow", "Comparison", "compare_runs"]
