"""Names of the files and folders of a run."""

from __future__ import annotations

from dataclasses import dataclass

RUN_MANIFEST = "run.json"
"""File that marks a folder as a run directory."""
RUN_CONFIG = "config.yaml"
"""The resolved configuration of a run."""
RUN_BASELINES = "baselines.yaml"
"""What defines the methods of its baselines."""
LOCK = ".lock"
"""Lock file held by the process that writes to a run."""

STAGE_MANIFEST = "stage.json"
"""File that marks a stage as complete."""
ELAPSED = "elapsed.json"
"""Seconds that processes have worked on a stage that isn't complete."""
REOPENED = "reopened.json"
"""The manifest of a stage that was complete and has to be completed again."""
STALE = ".stale"
"""Folder of a stage for results made from earlier rows of another stage."""
CHECKPOINT = "checkpoint"
"""Folder of the weights that a stage writes."""

TRAINING_LOG = "training.jsonl"
"""Log of a training, in the folder of its checkpoint: a JSON object for each step, with its `step` and `loss`."""
PREPARATION = "preparation.json"
"""Counts of a training's examples, in the same folder."""
TRAINING_SETTINGS = "training.settings.yaml"
"""What a training by `eef train` depends on, and its result once it is finished, in the same folder."""
REQUEST = "request.json"
"""Request to the processes of a training, in the same folder; it exists while they run, and after a kill."""
INTERRUPTED = "interrupted"
"""Folder of a training's states, in the same folder, from which it resumes."""


@dataclass(frozen=True)
class StageFiles:
    """Files of records in the folder of a stage."""

    trajectories: str = "trajectories.jsonl"
    simulations: str = "simulations.jsonl"
    attributions: str = "attributions.jsonl"
    advice: str = "advice.jsonl"
    alternatives: str = "alternatives.jsonl"
    reflections: str = "reflections.jsonl"
    examples: str = "examples.jsonl"
    selected: str = "selected.jsonl"
    predictions: str = "predictions.jsonl"


FILES = StageFiles()
