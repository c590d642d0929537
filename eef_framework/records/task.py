"""Task: what an episode tries to achieve."""

from __future__ import annotations

from pydantic import Field

from eef_framework.records.base import Info, Record, Text


class Task(Record):
    """One thing to do in one environment. Together with a list of actions it determines every state."""

    id: str
    """Unique within its environment, and stable across processes and versions."""
    environment: str
    """Registered name of the environment, such as `shop`."""
    split: str = "train"
    """The list this task comes from: `train`, `dev` or `test`."""
    kind: str = ""
    """Group for result tables (`easy`, `paging`, a task type); empty if there are no groups."""
    instruction: Text = ""
    """The goal in words, for reports and people. The agent doesn't see it: observations have to state the goal."""
    fingerprint: str = ""
    """Hash of the goal, so that two versions of a task are never confused."""
    info: Info = Field(default_factory=dict)
    """What the environment needs to rebuild the task, and nothing that the agent must not see."""
