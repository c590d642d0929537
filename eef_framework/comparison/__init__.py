"""Compares runs: seeds are pooled, rows are paired by seed and task, protocols are checked."""

from eef_framework.comparison.compare import ComparedDifference, ComparedRow, Comparison, compare_runs

__all__ = ["ComparedDifference", "ComparedRow", "Comparison", "compare_runs"]
