"""Several experts as one."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from eef_framework.errors import ConfigError, EefError
from eef_framework.interfaces import Environment, Expert
from eef_framework.plugins import current_registry
from eef_framework.records import Cost, Observation, Task, Trajectory
from eef_framework.rollout import demonstrations, merged
from eef_framework.seeds import derive


class MixtureExpert(Expert):
    """Several experts, such as two models: each task is demonstrated by one of them, or by all."""

    name: ClassVar[str] = "mixture"

    experts: list[dict[str, Any]] = Field(min_length=1)
    """Names and settings of the experts: `[{name: openai, model: gpt-4o}, corridor-expert]`."""
    divide: Literal["weight", "each"] = "weight"
    """How tasks are divided. `weight`: each task to one expert, drawn by the weights. `each`: each task to every
    expert, so that it has several demonstrations."""
    weights: list[float] | None = None
    """Share of the tasks for each expert, with `divide: weight`; null for equal shares."""

    _built: list[Expert] = PrivateAttr()

    @field_validator("experts", mode="before")
    @classmethod
    def _named(cls, experts: Any) -> Any:
        return [{"name": each} if isinstance(each, str) else each for each in experts]

    @field_validator("weights")
    @classmethod
    def _shares(cls, weights: list[float] | None) -> list[float] | None:
        if weights is not None and (min(weights, default=0) < 0 or sum(weights) <= 0):
            raise ValueError("expected weights of at least 0, not all of them 0")
        return weights

    @model_validator(mode="after")
    def _build(self) -> Self:
        registry = current_registry()
        self._built = [registry.build("expert", each) for each in self.experts]
        # Recorded with all their settings.
        self.experts = [
            {**built.settings(), "name": given["name"]} for built, given in zip(self._built, self.experts, strict=True)
        ]
        if self.weights is not None and (self.divide == "each" or len(self.weights) != len(self.experts)):
            raise ConfigError(
                f"expert 'mixture' has {len(self.weights)} weights for {len(self.experts)} experts, with divide: "
                f"{self.divide}",
                "Give a weight for each expert, or null; with divide: each, there are none.",
                code="wrong-weights",
                weights=self.weights,
                experts=len(self.experts),
            )
        several = [each.component_name() for each in self._built if each.demonstrations_per_task != 1]
        if self.divide == "weight" and several:
            raise ConfigError(
                f"expert {several[0]!r} demonstrates each task several times, and the others of its mixture don't",
                "Set divide to each.",
                code="uneven-mixture",
                expert=several[0],
            )
        return self

    @property
    def demonstrations_per_task(self) -> int:
        """One, or those of all experts."""
        return 1 if self.divide == "weight" else sum(each.demonstrations_per_task for each in self._built)

    def for_evaluation(self) -> Expert:
        """Return a mixture that demonstrates each task once."""
        if self.demonstrations_per_task == 1:
            return self
        mixture = self.model_copy(update={"divide": "weight", "weights": None})
        mixture._built = [each.for_evaluation() for each in self._built]
        return mixture

    def preflight(self, environment: Environment | None = None) -> None:
        """Check every expert.

        Raises:
            ConfigError: one of them can't work here.
        """
        for each in self._built:
            each.preflight(environment)

    def free_settings(self) -> Collection[str]:
        """Return those of the experts."""
        return [f"experts.{number}.{name}" for number, each in enumerate(self._built) for name in each.free_settings()]

    async def demonstrate(
        self, environment: Environment, tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Trajectory]:
        """Let the experts demonstrate their tasks, all at once.

        If the budget of one is spent, the others demonstrate theirs before the error is raised.
        """
        starts = list(itertools.accumulate((each.demonstrations_per_task for each in self._built), initial=0))

        async def of(number: int) -> AsyncIterator[Trajectory]:
            expert = self._built[number]
            own = [task for task in tasks if self.divide == "each" or self._chosen(task, seed) == number]
            first = starts[number] if self.divide == "each" else 0
            if own:
                async for each in demonstrations(expert, environment, own, derive(seed, "expert", number)):
                    source = {"expert": expert.component_name(), "number": number}
                    yield each.changed(attempt=first + each.attempt, info={"source": source, **each.info})

        async for each in merged(map(of, range(len(self._built))), lasts=_budget_spent):
            yield each

    def expected_cost(
        self, environment: Environment, initial: Sequence[Observation], episodes: int, longest: int
    ) -> Cost | None:
        """Add up the estimates of the experts; those without one cost nothing."""
        weights = self.weights or [1.0] * len(self._built)
        shares = [1.0] * len(weights) if self.divide == "each" else [each / sum(weights) for each in weights]
        parts = [
            expert.expected_cost(environment, initial, round(episodes * share), longest)
            for expert, share in zip(self._built, shares, strict=True)
        ]
        known = [each for each in parts if each is not None]
        return sum(known, Cost()) if known else None

    def close(self) -> None:
        """Release the experts' resources."""
        for each in self._built:
            each.close()

    def _chosen(self, task: Task, seed: int) -> int:
        """Return the number of the expert that a task goes to. It doesn't depend on the other tasks."""
        shares = list(itertools.accumulate(self.weights or [1.0] * len(self.experts)))
        drawn = random.Random(derive(seed, "mixture", task.id)).random() * shares[-1]
        return min(bisect.bisect_right(shares, drawn), len(shares) - 1)


def _budget_spent(error: BaseException) -> bool:
    return isinstance(error, EefError) and error.code == "budget-spent"
