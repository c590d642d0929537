"""State shared by the phases of a run: its configuration, and each of its components, built once."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from eef_framework.chat.format import ChatFormat
from eef_framework.config.schema import ComponentSpec, Reflection, RunConfig, TaskList
from eef_framework.config.validation import components, how_to_name
from eef_framework.errors import (
    ConfigError,
    EefError,
    EefWarning,
    EnvironmentFailure,
    ExecutorFailure,
    author_line,
    boundary,
)
from eef_framework.event_loop import EventLoop
from eef_framework.interfaces import (
    Attributor,
    Component,
    Environment,
    EpisodeSetup,
    Executor,
    Expert,
    Filter,
    Policy,
    Sampling,
    Tracker,
    TrainablePolicy,
    Trainer,
)
from eef_framework.pipeline.environment_checks import check_instructions, chosen_tasks
from eef_framework.pipeline.progress import ProgressDisplay
from eef_framework.pipeline.tracking import Tracking
from eef_framework.pipeline.variants import METHOD_KEYS
from eef_framework.plugins import Kind, Registry
from eef_framework.plugins.own_code import own_code
from eef_framework.records import Checkpoint, Task
from eef_framework.rollout import EpisodeRunner, ThreadExecutor
from eef_framework.rollout.resubmission import Resubmission
from eef_framework.runs import Leeway, Recorded, installed_versions
from eef_framework.tracking import FileTracker
from eef_framework.validation_messages import KeyPath, dotted, reason

T = TypeVar("T")


class RunContext:
    """Context shared by all phases of all methods of a run. Close it, or use it in a `with` block.

    Args:
        config: the run's configuration.
        registry: registry for looking up components by name.
        display: shows the progress of phases; by default nothing is shown.

    Attributes:
        environment: the world.
        policy: the agent; one that is trained is not loaded.
        executor: where episodes are played.
        tracking: sends figures to the trackers; none until a run starts them.
        answers_folder: the run's folder for answers of servers; None if there is no run directory.

    Raises:
        ConfigError: a name or a setting is invalid.
    """

    def __init__(self, config: RunConfig, registry: Registry, display: ProgressDisplay | None = None) -> None:
        self.config = config
        self.registry = registry
        self.display = display or ProgressDisplay()
        self.tracking = Tracking()
        self.answers_folder: Path | None = None
        self._loop = EventLoop()
        self._asked: set[int] = set()
        self._built: dict[tuple[Kind, str], Component] = {}
        self.environment: Environment = self._component("environment", config.environment)
        self.policy: Policy | TrainablePolicy = self._component("policy", config.policy)
        self._expert: Expert | None = self._component("expert", config.expert) if config.expert else None
        self.executor: Executor = self._component("executor", config.executor) if config.executor else ThreadExecutor()

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

    def judge(self, settings: Reflection) -> Expert:
        """Return the expert that writes reflections."""
        return cast("Expert", self._component("expert", settings.judge))

    def trackers(self) -> list[Tracker]:
        """Return the trackers of the run."""
        if self.config.trackers is None:
            return [FileTracker()]
        return [self._component("tracker", spec) for spec in self.config.trackers]

    def filters(self, config: RunConfig) -> list[Filter]:
        """Return the filters of a method."""
        return [self._component("filter", spec) for spec in config.filters]

    def tasks(self, tasks: TaskList) -> Sequence[Task]:
        """Return a list of tasks.

        Raises:
            ConfigError: there is no such split, or it has fewer tasks than requested.
            EnvironmentFailure: the environment failed, or returned something other than tasks (`not-tasks`), or two of
                the same id (`repeated-task`).
        """
        try:
            with boundary(EnvironmentFailure, self.environment, f"listing the split {tasks.split!r}"):
                found = self.environment.tasks(tasks.split)
        except ConfigError as error:  # the environment doesn't know where the name of the split is from
            for section in ("collect", "evaluate"):
                if getattr(self.config, section).tasks == tasks:
                    error.fix = f"{error.fix} Split {tasks.split!r} is from {section}.tasks.split.".strip()
            raise
        return chosen_tasks(self.environment, tasks, found)

    @property
    def longest_episode(self) -> int | None:
        """Maximum episode length in actions, from the run's limit or the environment's; None if neither sets one."""
        limits = [self.config.limits.steps, self.environment.longest_episode]
        return min((limit for limit in limits if limit is not None), default=None)

    def episodes(self, checkpoint: Checkpoint | None, actor: str, sampling: Sampling) -> EpisodeRunner:
        """Return the setup for the episodes of a phase.

        Args:
            checkpoint: the agent's weights; None for the unchanged policy.
            actor: the agent's name in records.
            sampling: how answers are sampled.
        """
        limits = self.config.limits
        return EpisodeRunner(
            environment=self.environment,
            policy=self.policy,
            actor=actor,
            format=self.format,
            sampling=sampling,
            concurrency=limits.concurrency,
            max_steps=limits.steps,
            step_timeout_s=limits.step_timeout_s,
            episode_timeout_s=limits.episode_timeout_s,
            checkpoint=checkpoint,
        )

    @functools.cached_property
    def format(self) -> ChatFormat:
        """The format of conversations, with the tools that the environment declares.

        Raises:
            ConfigError: it declares something else (`bad-tools`).
        """
        return self.config.format.for_environment(self.environment)

    @contextmanager
    def playing(self, setup: EpisodeSetup) -> Iterator[Resubmission]:
        """Provide what plays episodes with the run's executor. Episodes of lost workers are played again.

        Raises:
            ExecutorFailure: the executor raised.

        Warns:
            EefWarning: workers were lost; with the code `workers-lost`, and `episodes`.
        """
        name = self.executor.component_name()
        with ExitStack() as stack:
            with boundary(ExecutorFailure, self.executor, "starting"):
                play = stack.enter_context(self.executor.start(setup))
            playing = Resubmission(play, name)
            yield playing
            with boundary(ExecutorFailure, self.executor, "stopping"):
                stack.close()
        if playing.lost:
            message = f"{playing.lost} episodes were lost with workers of executor {name!r}, and were played again"
            warnings.warn(EefWarning(message, code="workers-lost", episodes=playing.lost), stacklevel=3)

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the run's event loop, and return its result."""
        return self._loop.run(coroutine)

    def resolved(self, method: RunConfig | None = None) -> dict[str, Any]:
        """Return a configuration as plain data, with all settings of components, defaults included.

        This is saved in a run's record, so that a default that differs in another version of a plugin shows up as a
        change.

        Args:
            method: the configuration of one of the run's methods; None for the run's own.
        """
        config = method or self.config
        data = {**config.model_dump(mode="json"), "format": self.format.model_dump(mode="json")}
        for key_path, kind, spec in components(config):
            settings = {**self._component(kind, spec).settings(), "name": spec["name"]}
            *above, last = key_path
            functools.reduce(lambda part, key: part[key], above, cast("Any", data))[last] = settings
        return data

    def leeway(self, method: RunConfig | None = None) -> Leeway:
        """Return how the settings of a record may differ from these: the record may be of an earlier version.

        Args:
            method: the configuration of one of the run's methods; None for the run's own.
        """
        config = method or self.config
        renamed: dict[str, str] = {}
        free: set[str] = set()
        defaults = dict(_defaults(config))
        for key_path, kind, spec in components(config):
            component: Component = self._component(kind, spec)
            renamed |= {dotted((*key_path, old)): dotted((*key_path, new)) for old, new in component.renamed.items()}
            free |= {dotted((*key_path, name)) for name in component.free_settings()}
            defaults |= _defaults(component, key_path)
        if config.format.style == "tools":
            defaults["format.tools"] = []  # versions without this setting told the model of none
        return Leeway(renamed, free, defaults)

    def baselines(self, methods: Iterable[RunConfig]) -> dict[str, Recorded]:
        """Return what is recorded of baselines, by their names: the sections that define them.

        Args:
            methods: the configurations of all methods, the run's own first.
        """
        _, *others = methods
        return {
            each.method: Recorded(
                {key: value for key, value in self.resolved(each).items() if key in METHOD_KEYS}, self.leeway(each)
            )
            for each in others
        }

    @functools.cached_property
    def versions(self) -> dict[str, str]:
        """Version of the framework and of each distribution with loaded plugins, by its name."""
        plugins = [each for each in self.registry.plugins if each.distribution and not each.error]
        return installed_versions("eef-framework") | {each.distribution: each.version for each in plugins}

    def code_in_use(self, methods: Iterable[RunConfig]) -> dict[str, str]:
        """Return the versions of the code that these methods use; of the user's own code, digests."""
        used = [self._component(kind, spec) for method in methods for _, kind, spec in components(method)]
        return self.versions | own_code(used)

    def recorded(self, *parts: str) -> dict[str, Any]:
        """Return the settings recorded next to a file of episodes that depend on these parts of the configuration."""
        config = self.resolved()
        settings = {part: config[part] for part in ("seed", "environment", *parts)}
        return settings | {"limits": {"steps": self.config.limits.steps}}

    def preflight(self, components: Iterable[Component]) -> None:
        """Run the preflight check of each component once.

        Raises:
            ConfigError: a check failed.
            EnvironmentFailure: the environment's instructions aren't text (`instructions-not-text`).
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
                if isinstance(component, Environment):
                    check_instructions(component)
            except EefError:
                raise
            except (Exception, SystemExit) as cause:
                name, where = component.component_name(), author_line(cause)
                at = f" ({where})" if where else ""
                raise ConfigError(
                    f"preflight() of {name!r} failed: {reason(cause)}{at}",
                    code="preflight-failed",
                    component=name,
                    where=where,
                ) from cause

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


def _defaults(model: BaseModel, key_path: KeyPath = ()) -> Iterator[tuple[str, Any]]:
    """Yield path and default of every setting of a section or component that has one."""
    for name, field in type(model).model_fields.items():
        if not field.is_required():
            default = field.get_default(call_default_factory=True, validated_data={})
            yield dotted((*key_path, name)), to_jsonable_python(default, fallback=repr)
        value = getattr(model, name)
        if isinstance(value, BaseModel) and not isinstance(value, Component):
            yield from _defaults(value, (*key_path, name))
