"""State shared by the phases of a run: its configuration, and each of its components, built once."""

from __future__ import annotations

import functools
import json
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeVar, cast

from eef_framework.config.loading import components, how_to_name
from eef_framework.config.schema import ComponentSpec, RunConfig, TaskList
from eef_framework.errors import ConfigError, EefError, EnvironmentFailure, author_line, boundary
from eef_framework.event_loop import EventLoop
from eef_framework.interfaces import (
    Attributor,
    Component,
    Environment,
    Expert,
    Filter,
    Policy,
    Sampling,
    TrainablePolicy,
    Trainer,
)
from eef_framework.pipeline.pairs import require_whole_episodes
from eef_framework.pipeline.progress import Progress
from eef_framework.plugins import Kind, Registry
from eef_framework.records import Checkpoint, Task
from eef_framework.rollout import EpisodeRunner

T = TypeVar("T")


class RunContext:
    """Context shared by all phases of all methods of a run. Close it, or use it in a `with` block.

    Args:
        config: the run's configuration.
        registry: registry for looking up components by name.
        progress: displays the progress of phases; by default nothing is shown.

    Attributes:
        environment: the world.
        policy: the agent, without checkpoint weights.

    Raises:
        ConfigError: a name or a setting is invalid.
    """

    def __init__(self, config: RunConfig, registry: Registry, progress: Progress | None = None) -> None:
        self.config = config
        self.registry = registry
        self.progress = progress or Progress()
        self._loop = EventLoop()
        self._asked: set[int] = set()
        self._built: dict[tuple[Kind, str], Component] = {}
        self.environment: Environment = self._component("environment", config.environment)
        self.policy: Policy = self._component("policy", config.policy)
        self._expert: Expert | None = self._component("expert", config.expert) if config.expert else None

    @property
    def expert(self) -> Expert:
        """The expert.

        Raises:
            ConfigError: no expert is configured.
        """
        if self._expert is None:
            raise ConfigError("expert is missing", how_to_name("expert", self.registry), code="expert-missing")
        return self._expert

    def trainer(self, spec: ComponentSpec) -> Trainer:
        """Return a trainer."""
        return cast("Trainer", self._component("trainer", spec))

    def attributor(self, config: RunConfig) -> Attributor | None:
        """Return the attributor of a method, if it has one."""
        return self._component("attributor", config.attributor) if config.attributor else None

    def filters(self, config: RunConfig) -> list[Filter]:
        """Return the filters of a method."""
        return [self._component("filter", spec) for spec in config.filters]

    def tasks(self, tasks: TaskList) -> Sequence[Task]:
        """Return a list of tasks.

        Raises:
            ConfigError: the split has fewer tasks than requested.
        """
        name = self.environment.component_name()
        with boundary(EnvironmentFailure, f"environment {name!r}", f"listing the split {tasks.split!r}"):
            found = self.environment.tasks(tasks.split)
        if tasks.count is not None and tasks.count > len(found):
            raise ConfigError(
                f"{tasks.count} tasks of split {tasks.split!r} were asked for, environment {name!r} has {len(found)}",
                "Lower the count, or set it to null for all of them.",
                code="too-few-tasks",
                split=tasks.split,
                wanted=tasks.count,
                found=len(found),
            )
        return found[: tasks.count]

    @property
    def longest_episode(self) -> int | None:
        """Maximum episode length in actions, from the run's limit or the environment's; None if neither sets one."""
        limits = [self.config.limits.steps, self.environment.longest_episode]
        return min((limit for limit in limits if limit is not None), default=None)

    def player(self, policy: Policy, actor: str, sampling: Sampling) -> EpisodeRunner:
        """Return the runner for the episodes of a phase."""
        limits = self.config.limits
        return EpisodeRunner(
            environment=self.environment,
            policy=policy,
            actor=actor,
            format=self.config.format,
            sampling=sampling,
            concurrency=limits.concurrency,
            max_steps=limits.steps,
            step_timeout_s=limits.step_timeout_s,
            episode_timeout_s=limits.episode_timeout_s,
        )

    @contextmanager
    def agent(self, checkpoint: Checkpoint | None) -> Iterator[Policy]:
        """Provide the agent with the weights of a checkpoint; without one, the unchanged policy."""
        if checkpoint is None or not isinstance(self.policy, TrainablePolicy):
            yield self.policy
            return
        with self.policy.load(checkpoint) as loaded:
            yield loaded

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the run's event loop, and return its result."""
        return self._loop.run(coroutine)

    def resolved(self) -> dict[str, Any]:
        """Return the configuration as plain data, with all settings of components, defaults included.

        This is saved in a run's record, so that a default that differs in another version of a plugin shows up as a
        change.
        """
        data = self.config.model_dump(mode="json")
        for place, kind, spec in components(self.config):
            settings = {**self._component(kind, spec).settings(), "name": spec["name"]}
            *above, last = place
            functools.reduce(lambda part, key: part[key], above, cast("Any", data))[last] = settings
        return data

    def recorded(self, *parts: str) -> dict[str, Any]:
        """Return the settings recorded next to a file of episodes that depend on these parts of the configuration."""
        config = self.resolved()
        settings = {part: config[part] for part in ("seed", "environment", *parts)}
        return settings | {"limits": {"steps": self.config.limits.steps}}

    def preflight(self, components: Iterable[Component]) -> None:
        """Run the preflight check of each component once.

        Raises:
            ConfigError: a check failed.
        """
        for component in components:
            if id(component) in self._asked:
                continue
            self._asked.add(id(component))
            try:
                if isinstance(component, Expert):
                    component.preflight(self.environment)
                else:
                    component.preflight()
            except EefError:
                raise
            except Exception as cause:
                name, where = component.component_name(), author_line(cause)
                at = f" ({where})" if where else ""
                raise ConfigError(
                    f"preflight() of {name!r} failed: {type(cause).__name__}: {cause}{at}",
                    code="preflight-failed",
                    component=name,
                    where=where,
                ) from cause

    def check(self, config: RunConfig) -> None:
        """Build everything that a method needs, so that misspelt names are found before anything starts.

        Raises:
            ConfigError: a name or a setting is invalid.
        """
        self._check_trainers(config)
        self.attributor(config)
        self.filters(config)
        constrained = config.explore.sampling.constrain or config.evaluate.sampling.constrain
        if constrained and config.format.style != "action":
            raise ConfigError(
                f"sampling.constrain allows nothing but actions, and format.style is {config.format.style!r}",
                "Set format.style to 'action', or sampling.constrain to false.",
                code="constrained-thoughts",
            )

    def _check_trainers(self, config: RunConfig) -> None:
        cloning = self.trainer(config.clone.trainer)
        tuning = self.trainer(config.tune.trainer or config.clone.trainer)
        if config.select.pairs:
            require_whole_episodes(config.format)
        if cloning.needs_pairs:
            raise ConfigError(
                f"trainer {cloning.component_name()!r} learns from pairs, and cloning the expert has none",
                "Name another in clone.trainer (`sft`), and this one in tune.trainer.",
                code="no-pairs",
            )
        if tuning.needs_pairs and not config.select.pairs:
            raise ConfigError(
                f"trainer {tuning.component_name()!r} learns from pairs, and select.pairs is false",
                "Set select.pairs to true, as the recipe eto does.",
                code="no-pairs",
            )

    def close(self) -> None:
        """Close the components built here and the event loop."""
        self._loop.close()
        for component in self._built.values():
            component.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _component(self, kind: Kind, spec: ComponentSpec) -> Any:
        """Return a component: the object that was passed, or one built here. Equal settings share one object."""
        spec = ComponentSpec.make(spec)
        if spec.component is not None:
            return self.registry.build(kind, spec.component)
        key = kind, json.dumps(spec, sort_keys=True, default=str)
        if key not in self._built:
            self._built[key] = spec.take_checked() or self.registry.build(kind, spec)
        return self._built[key]
