"""Compares runs: seeds are pooled, rows are paired by seed and task, protocols are checked."""

from eef_framework.comparison.compare import compare_runs
from eef_framework.comparison.result import ComparedDifference, ComparedRow, Comparison

__all__ = ["ComparedDifference", "ComparedRow", "Comparison", "compare_runs"]
