"""What an episode is about."""

from __future__ import annotations

from pydantic import Field

from eef_framework.records.base import Info, Record


class Task(Record):
    """One thing to do in one environment. Together with a list of actions it determines every state."""

    id: str
    """Unique within its environment, and stable across processes and versions."""
    environment: str
    """Registered name of the environment, such as `shop`."""
    split: str = "train"
    """The list this task comes from: `train`, `dev` or `test`."""
    kind: str = ""
    """Group for tables of results (`easy`, `paging`, a task type); empty where there are none."""
    instruction: str = ""
    """The goal in words, where the environment states one apart from its observations."""
    fingerprint: str = ""
    """Hash of what is to be achieved, so that two versions of a task never pass for one another."""
    info: Info = Field(default_factory=dict)
    """What the environment needs to rebuild the task, and nothing the agent may not know."""
