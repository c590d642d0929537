"""Run directories: rows, stages, and taking a run up again."""

from eef_framework.runs.atomic import new_folder, write_json, write_text
from eef_framework.runs.directory import RunDirectory
from eef_framework.runs.layout import PhaseName, RunLayout, StageKey
from eef_framework.runs.rows import RowFile, read_rows, repair, write_rows
from eef_framework.runs.stage import FILES, Stage, StageManifest

__all__ = [
    "FILES",
    "PhaseName",
    "RowFile",
    "RunDirectory",
    "RunLayout",
    "Stage",
    "StageKey",
    "StageManifest",
    "new_folder",
    "read_rows",
    "repair",
    "write_json",
    "write_rows",
    "write_text",
]
