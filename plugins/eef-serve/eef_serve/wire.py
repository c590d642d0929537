"""What goes over the wire: JSON bodies of requests and answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from eef_framework.records import Observation, Record, Step, Task, Tool

PROTOCOL = 1
"""Version of this protocol; the path of every address starts with it."""

LONGEST_ACTION = 1_000_000
"""Maximum length of an action, in characters."""
LONGEST_EPISODE = 10_000
"""Maximum number of actions that a session is restored from."""

Action = Annotated[str, StringConstraints(max_length=LONGEST_ACTION)]


class Request(BaseModel):
    """Body of a request. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class OpenRequest(Request):
    """Open a session, and bring it into the state that some actions lead to."""

    split: Annotated[str, StringConstraints(max_length=100)]
    task: Annotated[str, StringConstraints(max_length=1000)]
    """The task's id."""
    actions: Annotated[list[Action], Field(max_length=LONGEST_EPISODE)] = []
    """Actions to carry out first."""


class StepRequest(Request):
    """Carry out an action."""

    at: int = Field(ge=0)
    """Number of actions carried out before. A step that is requested again, because its answer was lost, isn't carried
    out again."""
    action: Action


class Opened(Record):
    """A new session."""

    session: str
    """Its id."""
    observation: Observation
    """What the agent sees."""
    observations: tuple[str, ...] = ()
    """Fingerprint of the first observation and of the one after each action."""
    reward: float = 0.0
    done: bool = False
    steps: int = 0
    """Number of actions carried out."""


class Stepped(Record):
    """The result of an action."""

    step: Step
    reward: float
    """The episode's reward so far."""
    done: bool


class TaskPage(Record):
    """Some of the tasks of a split."""

    tasks: tuple[Task, ...]
    total: int
    """Number of tasks in the split."""


class World(Record):
    """The environment that is served."""

    protocol: int = PROTOCOL
    environment: str
    instructions: str
    tools: tuple[Tool, ...] = ()
    longest_episode: int | None
    max_sessions: int
    """Maximum number of sessions at a time, for all clients together."""


class Problem(Record):
    """Body of an answer that says why a request failed."""

    code: str
    message: str
    fix: str = ""
