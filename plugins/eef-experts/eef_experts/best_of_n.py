"""Several attempts of an expert at each task."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from eef_framework.errors import ConfigError, EefWarning
from eef_framework.interfaces import Environment, Expert
from eef_framework.plugins import current_registry
from eef_framework.records import Cost, Info, Observation, Task, Trajectory
from eef_framework.rollout import demonstrations, with_costs_of
from eef_framework.seeds import derive


class BestOfNExpert(Expert):
    """An expert that attempts each task several times. The best attempt is its demonstration, or all are."""

    name: ClassVar[str] = "best-of-n"

    expert: dict[str, Any]
    """Name and settings of the expert: `{name: openai, model: gpt-4o, temperature: 0.7}`."""
    n: int = Field(default=4, gt=0)
    """Number of attempts at each task."""
    keep: Literal["best", "all"] = "best"
    """`best`: the attempt with the highest reward, of several the one with fewest actions. `all`: every attempt is a
    demonstration."""
    enough: float | None = None
    """With `keep: best`: reward from which a task isn't attempted again; null to make all attempts."""

    _built: Expert = PrivateAttr()

    @field_validator("expert", mode="before")
    @classmethod
    def _named(cls, expert: Any) -> Any:
        return {"name": expert} if isinstance(expert, str) else expert

    @model_validator(mode="after")
    def _build(self) -> Self:
        self._built = current_registry().build("expert", self.expert)
        self.expert = {**self._built.settings(), "name": self.expert["name"]}  # recorded with all settings
        if self._built.demonstrations_per_task != 1:
            raise ConfigError(
                f"expert {self._built.component_name()!r} demonstrates each task several times by itself",
                "Name the expert that it consists of.",
                code="nested-attempts",
                expert=self._built.component_name(),
            )
        return self

    @property
    def demonstrations_per_task(self) -> int:
        """One, or the number of attempts."""
        return 1 if self.keep == "best" else self.n

    def for_evaluation(self) -> Expert:
        """Return this expert if it keeps the best attempt, otherwise the one that makes the attempts."""
        return self if self.keep == "best" else self._built

    def preflight(self, environment: Environment | None = None) -> None:
        """Check the expert.

        Raises:
            ConfigError: it can't work here.

        Warns:
            EefWarning: it samples at temperature 0, so that the attempts may be equal; with the code `equal-attempts`.
        """
        self._built.preflight(environment)
        if self.n > 1 and getattr(self._built, "temperature", None) == 0:
            message = (
                f"expert 'best-of-n' makes {self.n} attempts with {self._built.component_name()!r}, whose temperature "
                "is 0: they may be equal. Set expert.expert.temperature, for example to 0.7."
            )
            warnings.warn(EefWarning(message, code="equal-attempts", n=self.n), stacklevel=2)

    def free_settings(self) -> Collection[str]:
        """Return those of the expert."""
        return [f"expert.{name}" for name in self._built.free_settings()]

    async def demonstrate(
        self, environment: Environment, tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Trajectory]:
        """Attempt all tasks, then those that need it again."""
        attempts: dict[str, list[Trajectory]] = {task.id: [] for task in tasks}
        for number in range(self.n):
            owed = [task for task in tasks if task.id in attempts]
            if not owed:
                return
            async for each in demonstrations(self._built, environment, owed, derive(seed, "attempt", number)):
                if self.keep == "all":
                    yield each.changed(attempt=number)
                    continue
                attempts[each.task.id].append(each)
                solved = self.enough is not None and not each.lost and each.reward >= self.enough - 1e-9
                if solved or number + 1 == self.n:
                    yield _best(attempts.pop(each.task.id))

    def expected_cost(
        self, environment: Environment, initial: Sequence[Observation], episodes: int, longest: int
    ) -> Cost | None:
        """Return the estimate of the expert for all attempts."""
        return self._built.expected_cost(environment, initial, episodes * self.n, longest)

    def close(self) -> None:
        """Release the expert's resources."""
        self._built.close()


def _best(attempts: Sequence[Trajectory]) -> Trajectory:
    """Return the best attempt, with the costs of all."""
    best = max(attempts, key=lambda each: (not each.lost, each.reward, -len(each.steps)))
    made: list[Any] = [{"reward": each.reward, "steps": len(each.steps), "ending": each.ending} for each in attempts]
    info: Info = {**best.info, "attempts": made, "kept": attempts.index(best)}
    chosen: Trajectory = best.changed(info=info)
    return with_costs_of(chosen, [each for each in attempts if each is not best])
