"""Run directories and files of records: written atomically, repaired and resumed."""

from eef_framework.runs.atomic import new_folder, replacing, set_aside, write_bytes, write_json, write_text
from eef_framework.runs.checked import content_id, open_checked
from eef_framework.runs.contents import contents, looks_like
from eef_framework.runs.directory import RunDirectory, installed_versions
from eef_framework.runs.file_names import FILES, TRAINING_LOG
from eef_framework.runs.folders import claim_folder
from eef_framework.runs.jsonl import JsonlFile, check_not_input, check_output, read_rows, write_rows
from eef_framework.runs.layout import PhaseName, RunLayout, StageKey
from eef_framework.runs.lines import read_whole
from eef_framework.runs.lock import locked
from eef_framework.runs.matching import check_same_tasks, rows_of_tasks, warn_of_part
from eef_framework.runs.places import ANSWERS_FOLDER, is_run, run_of, was_run
from eef_framework.runs.repair import repair
from eef_framework.runs.settings_files import Leeway, Recorded
from eef_framework.runs.stage import Stage, StageManifest

__all__ = [
    "ANSWERS_FOLDER",
    "FILES",
    "TRAINING_LOG",
    "JsonlFile",
    "Leeway",
    "PhaseName",
    "Recorded",
    "RunDirectory",
    "RunLayout",
    "Stage",
    "StageKey",
    "StageManifest",
    "check_not_input",
    "check_output",
    "check_same_tasks",
    "claim_folder",
    "content_id",
    "contents",
    "installed_versions",
    "is_run",
    "locked",
    "looks_like",
    "new_folder",
    "open_checked",
    "read_rows",
    "read_whole",
    "repair",
    "replacing",
    "rows_of_tasks",
    "run_of",
    "set_aside",
    "warn_of_part",
    "was_run",
    "write_bytes",
    "write_json",
    "write_rows",
    "write_text",
]
