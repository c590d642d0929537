"""Trajectory: the record of an episode.

States are numbered by the number of actions before them: state 0 is the task's initial state, state k the one after k
actions. `Trajectory.observation(k)` is what the agent sees in state k, `Trajectory.steps[k]` is what it does there.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from eef_framework.records.base import Info, Record, Text, VersionedRecord, encodable, is_encodable
from eef_framework.records.task import Task
from eef_framework.records.tool import Tool

MOST_REWARD = 1e100
"""Largest amount of a reward: sums and squares of many are finite, too."""


class FreeText(Record):
    """An admissible action with a free-text part, such as `search[...]`."""

    prefix: str
    """Text before the free part, for example `search[`."""
    suffix: str
    """Text after it, for example `]`."""

    def matches(self, action: str) -> bool:
        """Return whether an action has this form, with a free part that isn't blank."""
        inner = action[len(self.prefix) : len(action) - len(self.suffix)]
        return action.startswith(self.prefix) and action.endswith(self.suffix) and bool(inner.strip())


class Observation(Record):
    """What the agent sees in a state."""

    text: str
    actions: tuple[str, ...] | None = None
    """The admissible actions, if the environment knows them: a hint unless the environment says otherwise."""
    free: tuple[FreeText, ...] = ()
    """Admissible actions with a free-text part."""

    def admits(self, action: str) -> bool:
        """Return whether an action is admissible according to this observation (always true if it lists none)."""
        if self.actions is None:
            return True
        return action in self.actions or any(form.matches(action) for form in self.free)

    def encodable(self) -> Self:
        """Return this observation without lone surrogates, which no file can hold."""
        if is_encodable(self.text, *(self.actions or ()), *(form.prefix + form.suffix for form in self.free)):
            return self
        return self.changed(
            text=encodable(self.text),
            actions=None if self.actions is None else tuple(map(encodable, self.actions)),
            free=tuple(FreeText(prefix=encodable(form.prefix), suffix=encodable(form.suffix)) for form in self.free),
        )


class Response(Record):
    """One turn of the agent, as it was sampled."""

    text: str
    """The whole answer, thought and action, without the stop token."""
    token_ids: tuple[int, ...] | None = None
    """The sampled tokens, including the stop token if one was sampled. Training uses them unchanged."""
    tokenizer: str = ""
    """Fingerprint of the tokenizer that `token_ids` belong to."""
    thought: str = ""
    """The thought in the text; without one, reasoning that a server returned apart from the text."""
    parsed: bool = True
    """Whether an action was found in the text; otherwise the whole text was sent to the environment."""
    logprob: float | None = None
    """Logarithm of the answer's probability under the distribution it was sampled from (temperature and admissible
    actions included; at temperature 0, that of temperature 1), if the policy knows it. Unlike the tokens, its last
    digits may depend on concurrent requests."""
    dropped: int = Field(default=0, ge=0)
    """Number of oldest observations, with the turns that answer them, that were dropped to fit the prompt into the
    model's context window. Training drops the same ones."""
    prompt_tokens: int = 0
    """Length of the prompt, in tokens."""
    computed_tokens: int = 0
    """Tokens that the model processed for this turn: uncached prompt tokens and new ones. Models in this process count
    as if nothing were cached, so that the number doesn't depend on other requests."""
    logprobs: tuple[float, ...] | None = None
    """Log-probability of each sampled token, if the policy was asked for them and knows them."""
    usd: float = 0.0
    """Price of the turn, in US dollars, if the policy knows prices."""
    info: Info = Field(default_factory=dict)
    """Other information from the policy, such as what it dropped from the prompt or why the answer was cut off."""

    def encodable(self) -> Self:
        """Return this turn without lone surrogates, which no file can hold."""
        if is_encodable(self.text, self.thought):
            return self
        return self.changed(text=encodable(self.text), thought=encodable(self.thought))


class Step(Record):
    """One action and the environment's response."""

    action: str
    observation: Observation
    """What the agent sees after the action."""
    reward: float = 0.0
    """The environment's reward for this action."""
    terminated: bool = False
    """The task ended: solved, failed or abandoned."""
    truncated: bool = False
    """The environment's step limit was reached before the task ended."""
    valid: bool = True
    """Whether the environment understood the action; an invalid one changes nothing."""
    response: Response | None = None
    """The turn that the action was read from; None for experts that don't generate text."""
    info: Info = Field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether the episode ends with this step."""
        return self.terminated or self.truncated

    @property
    def parsed(self) -> bool:
        """Whether an action was found in the turn; true without one."""
        return self.response is None or self.response.parsed


class Origin(Record):
    """Where a simulation starts: a state of another trajectory, or one reached from it by further actions."""

    trajectory: str
    """Id of the trajectory whose prefix was replayed."""
    state: int = Field(ge=0)
    """Number of replayed actions; that many steps at the start are not the agent's own."""
    inserted: int = Field(default=0, ge=0)
    """How many of these (the last ones) are not actions of that trajectory."""


StateId = tuple[str, tuple[str, ...]]
"""Identifies a state of an environment: the id of its task, and the actions that lead to it."""


class State(Record):
    """A state of a world: a task and the actions that lead to it. It can be reached by replay in any process."""

    task: Task
    initial: Observation | None = None
    """The first observation, which a replay must reproduce; None if unknown."""
    steps: tuple[Step, ...] = ()
    """Recorded steps that lead to the state, or most of the way; a replay must reproduce their observations."""
    inserted: tuple[str, ...] = ()
    """Further actions, with observations that aren't known yet."""
    trajectory: str = ""
    """Id of the trajectory that the recorded steps belong to; empty for the task's initial state."""

    def after(self, *actions: str) -> State:
        """Return the state that further actions lead to."""
        return self.changed(inserted=(*self.inserted, *actions))

    @property
    def length(self) -> int:
        """Number of actions that lead to it."""
        return len(self.steps) + len(self.inserted)


Ending = Literal["terminated", "truncated", "step-limit", "time-limit", "gave-up", "error"]
"""Why an episode ended: the task ended, the environment's limit, the run's limits, the actor's choice, or a failure."""


class SuccessRule(Record):
    """When an episode counts as a success. Part of every manifest: numbers under different rules can't be compared."""

    threshold: float = Field(default=1.0, allow_inf_nan=False)
    """Smallest reward that counts as a success: 1.0 on WebShop, 1.0 (score 100) on ScienceWorld (arXiv 2504.13145)."""

    def holds(self, trajectory: Trajectory) -> bool:
        """Return whether a trajectory is a success. One that ended in an error never is."""
        return not trajectory.lost and trajectory.reward >= self.threshold - 1e-9


class Provenance(Record):
    """How a demonstration was made."""

    expert: Info = Field(default_factory=dict)
    """Name and settings of the expert, such as model, prompt and sampling; without those that don't affect results."""
    environment: Info = Field(default_factory=dict)
    """Name and settings of the environment."""
    tools: tuple[Tool, ...] = ()
    """The tools that it declares."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Version of every distribution in use, by name."""
    success: SuccessRule | None = None
    """The run's success rule."""
    date: str = ""
    """When it ended: UTC, as `2026-01-31T12:00:00Z`."""


class Trajectory(VersionedRecord):
    """A whole episode: the initial observation, then steps. For a simulation, replayed steps included."""

    id: str = ""
    """Unique within a run, and the same when the run is repeated. Filled in by the framework."""
    task: Task
    actor: str = ""
    """Which policy or expert acted: `expert/shopper`, `agent/clone`. Filled in by the framework."""
    seed: int = 0
    attempt: int = Field(default=0, ge=0)
    """Number of a demonstration among those of its task, if the expert gives several."""
    origin: Origin | None = None
    """Set for simulations from an intermediate state."""
    initial: Observation
    steps: tuple[Step, ...] = ()
    reward: float = Field(default=0.0, ge=-MOST_REWARD, le=MOST_REWARD, allow_inf_nan=False)
    """The episode's reward under the environment's own rule, usually 0 to 1; 0 for episodes that never finished."""
    ending: Ending = "terminated"
    error: Text = ""
    """What went wrong, if the ending is `error` (`lost`)."""
    lost_tokens: int = 0
    """Tokens that aren't in the steps, if known: those of a lost answer, which ended the episode, and those of earlier
    attempts at this episode that were lost."""
    lost_usd: float = 0.0
    """Price of these tokens, in US dollars."""
    lost_prompt_tokens: int = 0
    """Tokens of prompts in earlier attempts that were lost."""
    lost_steps: int = 0
    """Environment steps of earlier attempts that were lost, excluding replayed ones."""
    lost_unknown: int = 0
    """Number of lost answers of unknown cost."""
    seconds: float = 0.0
    """Wall-clock time from opening to closing, including waiting for the model."""
    provenance: Provenance | None = None
    """How a demonstration was made. Filled in by the framework; None for the agent's episodes, which their run's
    configuration describes."""
    info: Info = Field(default_factory=dict)

    @property
    def lost(self) -> bool:
        """Whether it ended in an infrastructure failure: never evidence, and played again when the run is resumed."""
        return self.ending == "error"

    @property
    def prefix_length(self) -> int:
        """Index of the first step taken by the actor (after the replayed prefix of a simulation)."""
        return self.origin.state if self.origin else 0

    @property
    def own_steps(self) -> tuple[Step, ...]:
        """The steps taken by the actor: all but the replayed prefix of a simulation."""
        return self.steps[self.prefix_length :]

    def at(self, state: int) -> State:
        """Return a state of this episode, for example to simulate from it.

        Args:
            state: number of actions taken, 0 to `len(steps)`.

        Raises:
            IndexError: the state doesn't exist.
        """
        self.observation(state)
        steps = self.steps[:state]
        return State(task=self.task, initial=self.initial, steps=steps, trajectory=self.id if state else "")

    def state_id(self, state: int) -> StateId:
        """Return what identifies a state of this episode, also among those of other episodes.

        Args:
            state: number of actions taken.
        """
        return self.task.id, self.actions[:state]

    def observation(self, state: int) -> Observation:
        """Return what the agent sees in a state.

        Args:
            state: number of actions taken, 0 to `len(steps)`.

        Raises:
            IndexError: the state doesn't exist.
        """
        if not 0 <= state <= len(self.steps):
            raise IndexError(f"trajectory {self.id!r} has states 0 to {len(self.steps)}, not {state}")
        return self.initial if state == 0 else self.steps[state - 1].observation

    @property
    def actions(self) -> tuple[str, ...]:
        """All actions in order."""
        return tuple(step.action for step in self.steps)
