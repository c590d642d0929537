"""Metrics, always with their uncertainty."""

from __future__ import annotations

from pydantic import Field

from eef_framework.records.base import Record


class Estimate(Record):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    """Its lower end; -inf where the values say nothing about their spread, as a single seed doesn't."""
    high: float
    """Its upper end; inf where the lower end is -inf."""
    n: int = Field(ge=0)
    """Number of episodes (or seeds) it was estimated from."""


class Cost(Record):
    """Resources that a phase used. Costs can be added."""

    episodes: int = 0
    """Episodes played, by the agent or the expert."""
    simulations: int = 0
    """Episodes played by the agent, from initial and from intermediate states alike (arXiv 2504.13145 counts so)."""
    steps: int = 0
    """Environment steps, excluding replayed ones."""
    prompt_tokens: int = 0
    computed_tokens: int = 0
    """Tokens processed by the model while acting."""
    trained_tokens: int = 0
    """Tokens processed by the model while training, excluding padding."""
    usd: float = 0.0
    """Price of the answers, in US dollars, if the policies know prices."""
    answers_of_unknown_cost: int = 0
    """Answers with an unknown number of tokens, because a server didn't report it or was cut off. They count as 0
    tokens above."""
    seconds: float = 0.0
    """Wall-clock time."""

    def __add__(self, other: Cost) -> Cost:
        """Add two costs field by field."""
        return Cost(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})


class Evaluation(Record):
    """Results of one actor on one list of tasks."""

    name: str
    """Row of the table: `expert`, `clone`, `eef-2`."""
    split: str
    episodes: int
    threshold: float
    """The success rule used for these numbers."""
    success: Estimate
    reward: Estimate
    steps: Estimate
    by_kind: dict[str, Estimate] = Field(default_factory=dict)
    """Success by kind of task."""
    invalid_rate: float = 0.0
    """Share of steps with an action that the environment didn't understand."""
    unparsed_rate: float = 0.0
    """Share of turns in which no action was found."""
    errors: int = 0
    """Episodes lost to infrastructure failures; they count as failures in the estimates."""


class ResultRow(Record):
    """A row of a run's table."""

    label: str
    """`expert`, `sft` (fine-tuned on the expert's successes), `eef 2` (method and iteration)."""
    method: str = ""
    """Recipe that the row belongs to; empty for rows shared by all methods."""
    iteration: int = 0
    stage: str = ""
    """Folder of the evaluated episodes within the run, such as `methods/eef/2/evaluate`; empty in runs that
    were made before this field existed."""
    evaluation: Evaluation
    cost: Cost
    """Total cost up to this row, excluding evaluations."""


class Difference(Record):
    """One row minus another, on the same tasks (paired)."""

    label: str
    """`eef 2 - rft-matched 2`."""
    success: Estimate
    """Difference of success rates, with the 95 % interval of the paired difference."""

    @property
    def sides(self) -> tuple[str, str]:
        """The labels of the two rows; the second is empty if the label has only one."""
        first, _, second = self.label.partition(" - ")
        return first, second


class RunMetrics(Record):
    """The results of a run: `metrics.json`."""

    threshold: float
    rows: tuple[ResultRow, ...] = ()
    differences: tuple[Difference, ...] = ()
    stages: dict[str, Cost] = Field(default_factory=dict)
    """Cost of every stage, by its folder within the run."""
    notes: tuple[str, ...] = ()
    """Notes for readers of the numbers."""
