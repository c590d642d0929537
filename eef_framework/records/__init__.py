"""Immutable records: the wire format between phases, processes and programs. No behaviour, no other imports."""

from eef_framework.records.attribution import Attribution, Evidence, Probe, Segment, StateValue, Verdict
from eef_framework.records.base import SCHEMA_VERSION, Info, Record, VersionedRecord, encodable, fingerprint
from eef_framework.records.checkpoint import Checkpoint
from eef_framework.records.example import Conversation, Example, Message, Role
from eef_framework.records.metrics import Cost, Difference, Estimate, Evaluation, ResultRow, RunMetrics
from eef_framework.records.selected import Selected
from eef_framework.records.spending import Spending
from eef_framework.records.task import Task
from eef_framework.records.tool import Tool
from eef_framework.records.train_result import TrainResult
from eef_framework.records.trajectory import (
    MOST_REWARD,
    Ending,
    FreeText,
    Observation,
    Origin,
    Provenance,
    Response,
    State,
    StateId,
    Step,
    SuccessRule,
    Trajectory,
)

__all__ = [
    "MOST_REWARD",
    "SCHEMA_VERSION",
    "Attribution",
    "Checkpoint",
    "Conversation",
    "Cost",
    "Difference",
    "Ending",
    "Estimate",
    "Evaluation",
    "Evidence",
    "Example",
    "FreeText",
    "Info",
    "Message",
    "Observation",
    "Origin",
    "Probe",
    "Provenance",
    "Record",
    "Response",
    "ResultRow",
    "Role",
    "RunMetrics",
    "Segment",
    "Selected",
    "Spending",
    "State",
    "StateId",
    "StateValue",
    "Step",
    "SuccessRule",
    "Task",
    "Tool",
    "TrainResult",
    "Trajectory",
    "Verdict",
    "VersionedRecord",
    "encodable",
    "fingerprint",
]
