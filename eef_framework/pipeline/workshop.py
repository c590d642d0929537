"""The components of a run, built from its configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from eef_framework.config.loading import how_to_name
from eef_framework.config.tree import RunConfig, TaskList
from eef_framework.errors import ConfigError, EnvironmentFailure, boundary
from eef_framework.interfaces import (
    Attributor,
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
from eef_framework.plugins import Registry
from eef_framework.records import Checkpoint, Task
from eef_framework.rollout import Player


@dataclass(frozen=True)
class Workshop:
    """What all phases of all methods of a run work with.

    Attributes:
        config: the run's configuration.
        registry: where components come from.
        environment: the world.
        expert: who demonstrates, if someone does.
        policy: the agent, without weights.
        progress: where phases say how far they are.
    """

    config: RunConfig
    registry: Registry
    environment: Environment
    expert: Expert | None
    policy: Policy
    progress: Progress

    @classmethod
    def build(cls, config: RunConfig, registry: Registry, progress: Progress) -> Workshop:
        """Build what the methods of a run share.

        Raises:
            ConfigError: a name or a setting is wrong.
        """
        return cls(
            config=config,
            registry=registry,
            environment=registry.build("environment", config.environment),
            expert=registry.build("expert", config.expert) if config.expert else None,
            policy=registry.build("policy", config.policy),
            progress=progress,
        )

    def demonstrator(self) -> Expert:
        """Return the expert.

        Raises:
            ConfigError: none is named.
        """
        if self.expert is None:
            raise ConfigError("expert is missing", how_to_name("expert", self.registry))
        return self.expert

    def tasks(self, tasks: TaskList) -> Sequence[Task]:
        """Return a list of tasks.

        Raises:
            ConfigError: the split has fewer tasks than asked for.
        """
        name = self.environment.component_name()
        with boundary(EnvironmentFailure, f"environment {name!r}", f"listing the split {tasks.split!r}"):
            found = self.environment.tasks(tasks.split)
        if tasks.count is not None and tasks.count > len(found):
            raise ConfigError(
                f"{tasks.count} tasks of split {tasks.split!r} were asked for, environment {name!r} has {len(found)}",
                "Lower the count, or set it to null for all of them.",
            )
        return found[: tasks.count]

    def player(self, policy: Policy, actor: str, sampling: Sampling) -> Player:
        """Return who plays the episodes of a phase."""
        limits = self.config.limits
        return Player(
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
        """Hold the agent with the weights of a checkpoint; without one, the policy as it is."""
        if checkpoint is None or not isinstance(self.policy, TrainablePolicy):
            yield self.policy
            return
        with self.policy.load(checkpoint) as loaded:
            yield loaded

    def trainer(self, spec: dict[str, Any]) -> Trainer:
        """Build a trainer."""
        return self.registry.build("trainer", spec)

    def attributor(self, config: RunConfig) -> Attributor | None:
        """Build the attributor of a method, if it has one."""
        return self.registry.build("attributor", config.attributor) if config.attributor else None

    def filters(self, config: RunConfig) -> list[Filter]:
        """Build the filters of a method."""
        return [self.registry.build("filter", spec) for spec in config.filters]

    def check(self, config: RunConfig) -> None:
        """Build everything a method needs, so that what is misspelt is found before anything starts.

        Raises:
            ConfigError: a name or a setting is wrong.
        """
        self._check_trainers(config)
        self.attributor(config)
        self.filters(config)
        constrained = config.explore.sampling.constrain or config.evaluate.sampling.constrain
        if constrained and config.format.style != "action":
            raise ConfigError(
                f"sampling.constrain allows nothing but actions, and format.style is {config.format.style!r}",
                "Set format.style to 'action', or sampling.constrain to false.",
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
            )
        if tuning.needs_pairs and not config.select.pairs:
            raise ConfigError(
                f"trainer {tuning.component_name()!r} learns from pairs, and select.pairs is false",
                "Set select.pairs to true, as the recipe eto does.",
            )

    def close(self) -> None:
        """Release what the components hold."""
        for component in (self.environment, self.expert, self.policy):
            if component is not None:
                component.close()
